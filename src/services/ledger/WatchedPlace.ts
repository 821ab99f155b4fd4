/** Tells when the ledger's path no longer leads to the file that is written: see PlaceWatch.ts. */
import { Cause, Effect } from "effect"
import { Keeper } from "../base/Keeper.ts"
import type { LedgerThread } from "./LedgerThread.ts"
import type { Failure } from "./sqlite/LedgerProblem.ts"
import type { WriterReply, WriterRequest } from "./sqlite/ThreadMessages.ts"

/** Has the writer look each `lookMs`. `onChange` is told each problem once, and once that there is none any more. */
export const watchPlace = Effect.fnUntraced(function*(
  writer: LedgerThread<WriterRequest, WriterReply>,
  lookMs: number,
  onChange: (problem: string | undefined) => void
) {
  let problem: string | undefined
  const note = (found: string | undefined): void => {
    if (found === problem) return
    problem = found
    onChange(found)
  }
  const keeper = yield* Keeper
  const look = Effect.sleep(lookMs).pipe(
    Effect.andThen(writer.call((id) => ({ _tag: "Look", id }))),
    Effect.map((reply) => {
      if (reply._tag === "Looked") note(reply.displaced)
    }),
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.interrupt
        : Effect.sync(() => note(`the ledger's place can't be looked at: ${Cause.pretty(cause)}`))
    )
  )
  yield* keeper.loop("look at the ledger's place", look)
  return {
    /** A failure of a write, which may be the first to tell. */
    noted: (failure: Failure): Failure => {
      if (failure.kind === "Displaced") note(failure.message)
      return failure
    },
    displaced: (): Failure | undefined =>
      problem === undefined ? undefined : { kind: "Displaced", message: problem }
  }
})
