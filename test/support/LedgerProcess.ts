/**
 * A process that does one thing to a ledger, `node LedgerProcess.ts <what> <file>`, so that its calls can be written down
 * and it can be killed at any of them.
 */
import { Effect } from "effect"
import { existsSync, readFileSync, writeFileSync, writeSync } from "node:fs"
import { AgencyId } from "../../src/domain/Agency.ts"
import { WinningNumber } from "../../src/domain/Draw.ts"
import { beginLedger } from "../../src/services/admin/NextLedger.ts"
import { BetLedger } from "../../src/services/ledger/BetLedger.ts"
import { encodeGroup } from "../../src/services/ledger/sqlite/GroupBuffer.ts"
import { LedgerWriter } from "../../src/services/ledger/sqlite/LedgerWriter.ts"
import { writerDefaults } from "../../src/services/ledger/sqlite/WriterConfig.ts"
import { keptLedger } from "./Kept.ts"
import { plainChunk } from "./LedgerChunks.ts"
import { waitUntil } from "./WaitUntil.ts"

const three = AgencyId.make(3)
const [, , what = "", path = "", more = ""] = process.argv
const print = (line: string) => writeSync(1, `${line}\n`)
const config = {
  ...writerDefaults,
  path,
  roster: "3,",
  agencies: [three],
  winningNumber: 257
}

/** Commits one chunk, then tells (by a file) that the next may fail, and commits two more. */
const write = (): void => {
  const writer = new LedgerWriter(config)
  const commit = (seq: number) => {
    writer.commit(encodeGroup([plainChunk(three, seq, 10)], undefined))
    print(`${seq} stored`)
  }
  commit(1)
  if (more !== "") writeFileSync(more, "")
  commit(2)
  commit(3)
  writer.close()
}

/** Commits again and again, each time when the checkpoint of the last commit has reached the file. */
const checkpoint = Effect.gen(function*() {
  const { commit } = yield* BetLedger
  const journal = process.env["CALLS"] ?? ""
  const copied = () =>
    existsSync(journal)
      ? readFileSync(journal, "utf8").split("\n").filter((line) =>
        line.startsWith(`write ${path} `)
      ).length
      : 0
  for (let seq = 1; seq <= 20; seq++) {
    const before = copied()
    yield* commit([plainChunk(three, seq, 10)])
    yield* Effect.promise(() => waitUntil("a checkpoint", () => copied() > before))
  }
  // No finalizers: what closing syncs isn't asked for here.
  yield* Effect.sync(() => process.exit(0))
})

switch (what) {
  case "write":
    write()
    break
  case "begin":
    Effect.runSync(
      beginLedger(path, { roster: [three], winningNumber: WinningNumber.make(1234) }, true)
    )
    break
  case "checkpoint":
    await Effect.runPromise(checkpoint.pipe(
      Effect.provide(keptLedger({
        path,
        roster: [three],
        winningNumber: WinningNumber.make(257),
        checkpointBytes: 1
      }))
    ))
}
