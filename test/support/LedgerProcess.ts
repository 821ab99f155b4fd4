/**
 * A process that works on a ledger, `node LedgerProcess.ts <what> <file>`: its calls can be recorded, its files limited,
 * and it can be killed at any moment. It prints each result on a line.
 *
 * - write: commits three chunks by the writer alone
 * - begin: begins the next ledger
 * - checkpoint: commits 20 chunks, each after the checkpoint of the one before
 * - hold: commits groups of three chunks until it is killed; prints the `seq` of each that was acknowledged
 * - overfill: commits one group of so many bytes, and then a small chunk
 */
import { Effect } from "effect"
import { existsSync, readFileSync, writeFileSync, writeSync } from "node:fs"
import { AgencyId } from "../../src/domain/Agency.ts"
import { WinningNumber } from "../../src/domain/Draw.ts"
import { beginLedger } from "../../src/services/admin/NextLedger.ts"
import { BetLedger } from "../../src/services/ledger/BetLedger.ts"
import type { SqliteLedgerOptions } from "../../src/services/ledger/embedded/SqliteLedger.ts"
import { encodeGroup } from "../../src/services/ledger/sqlite/GroupBuffer.ts"
import { LedgerWriter } from "../../src/services/ledger/sqlite/LedgerWriter.ts"
import { writerDefaults } from "../../src/services/ledger/sqlite/WriterConfig.ts"
import { keptLedger } from "./Kept.ts"
import { plainChunk, selling } from "./LedgerChunks.ts"
import { waitUntil } from "./WaitUntil.ts"

const three = AgencyId.make(3)
const [, , what = "", path = "", more = ""] = process.argv
// Synchronously: what is printed has been printed when the process is killed.
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
  const { commit } = selling(yield* BetLedger)
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

const hold = Effect.gen(function*() {
  const { claim, commit } = selling(yield* BetLedger)
  const stored = yield* claim(three)
  print("opened")
  for (let seq = stored.seq + 1;; seq += 3) {
    yield* commit([seq, seq + 1, seq + 2].map((each) => plainChunk(three, each, each % 50)))
    print(String(seq + 2))
  }
})

const overfill = Effect.gen(function*() {
  const { commit } = selling(yield* BetLedger)
  print("opened")
  const chunk = plainChunk(three, 1, 1000)
  const chunks = Math.ceil(Number(more) / chunk.body.length)
  const large = Array.from({ length: chunks }, (_, index) => ({ ...chunk, seq: index + 1 }))
  for (const group of [large, [plainChunk(three, 1, 1)]]) {
    const outcome = yield* Effect.match(commit(group), {
      onFailure: ({ _tag }) => _tag,
      onSuccess: () => "Stored"
    })
    print(`${group.length} ${outcome}`)
  }
})

const run = <E>(
  program: Effect.Effect<void, E, BetLedger>,
  options: Partial<SqliteLedgerOptions> = {}
): Promise<void> =>
  Effect.runPromise(Effect.provide(
    program,
    keptLedger({ path, roster: [three], winningNumber: WinningNumber.make(257), ...options })
  ))

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
    await run(checkpoint, { checkpointBytes: 1 })
    break
  case "hold":
    await run(hold, { roster: [three, AgencyId.make(5)] })
    break
  case "overfill":
    await run(overfill, { roster: [three, AgencyId.make(5)] })
}
