/**
 * A process that holds a ledger and commits to it until it is killed: `node LedgerHolder.ts <file>`. Prints `opened`,
 * then the `seq` of each chunk of agency 3 once it is acknowledged. With a second argument it instead commits one
 * group of that many bytes, and whatever comes of it one small chunk, and prints what came of both.
 */
import { Effect } from "effect"
import { writeSync } from "node:fs"
import { AgencyId } from "../../src/domain/Agency.ts"
import { WinningNumber } from "../../src/domain/Draw.ts"
import { BetLedger } from "../../src/services/ledger/BetLedger.ts"
import { keptLedger } from "./Kept.ts"
import { plainChunk } from "./LedgerChunks.ts"

const three = AgencyId.make(3)
const [, , path = "", bytes] = process.argv
/** Synchronously: what is printed has been printed when the process is killed. A reader that is busy is waited for. */
const print = (line: string) =>
  Effect.sync(() => {
    for (;;) {
      try {
        return writeSync(1, `${line}\n`)
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) throw error
      }
    }
  })

const commitForever = Effect.gen(function*() {
  const { commit, opened } = yield* BetLedger
  yield* print("opened")
  for (let seq = (opened.agencies.get(three)?.seq ?? 0) + 1;; seq += 3) {
    yield* commit([seq, seq + 1, seq + 2].map((each) => plainChunk(three, each, each % 50)))
    yield* print(String(seq + 2))
  }
})

const commitLarge = (size: number) =>
  Effect.gen(function*() {
    const { commit } = yield* BetLedger
    yield* print("opened")
    const chunk = plainChunk(three, 1, 1000)
    const group = Array.from({ length: Math.ceil(size / chunk.body.length) }, (_, index) => ({
      ...chunk,
      seq: index + 1
    }))
    const outcome = (seq: number) => (exit: { readonly _tag: string }) =>
      print(`${seq} ${exit._tag}`)
    yield* Effect.flatMap(
      Effect.match(commit(group), { onFailure: (e) => e, onSuccess: () => ({ _tag: "Stored" }) }),
      outcome(group.length)
    )
    yield* Effect.flatMap(
      Effect.match(commit([plainChunk(three, 1, 1)]), {
        onFailure: (e) => e,
        onSuccess: () => ({ _tag: "Stored" })
      }),
      outcome(1)
    )
  })

await Effect.runPromise(
  (bytes === undefined ? commitForever : commitLarge(Number(bytes))).pipe(
    Effect.provide(
      keptLedger({
        path,
        roster: [three, AgencyId.make(5)],
        winningNumber: WinningNumber.make(257)
      })
    )
  )
)
