/** Whether the ledger's path still leads to the file that is written: see PlaceWatch.ts. */
import { Cause, Effect } from "effect"
import { Keeper } from "../../base/Keeper.ts"
import type { OperatingFailure } from "../sqlite/LedgerProblem.ts"
import type { WriterReply, WriterRequest } from "../sqlite/ThreadMessages.ts"
import type { LedgerThread } from "./LedgerThread.ts"

export class WatchedPlace {
  readonly #onChange: (problem: string | undefined) => void
  #problem: string | undefined

  constructor(onChange: (problem: string | undefined) => void) {
    this.#onChange = onChange
  }

  /** What every operation fails with while the path leads elsewhere. */
  get displaced(): OperatingFailure | undefined {
    return this.#problem === undefined ? undefined : { kind: "Displaced", message: this.#problem }
  }

  /** The failure of a write, which may be the first to notice. */
  noted(failure: OperatingFailure): OperatingFailure {
    if (failure.kind === "Displaced") this.note(failure.message)
    return failure
  }

  note(problem: string | undefined): void {
    if (problem === this.#problem) return
    this.#problem = problem
    this.#onChange(problem)
  }
}

/**
 * Has the writer look every `lookMs`. `onChange` is called with each problem once, and with undefined once the problem
 * is gone.
 */
export const watchPlace = Effect.fnUntraced(function*(
  writer: LedgerThread<WriterRequest, WriterReply>,
  lookMs: number,
  onChange: (problem: string | undefined) => void
) {
  const keeper = yield* Keeper
  const place = new WatchedPlace(onChange)
  const look = Effect.sleep(lookMs).pipe(
    Effect.andThen(writer.call((id) => ({ _tag: "Look", id }))),
    Effect.map((reply) => {
      if (reply._tag === "Looked") place.note(reply.displaced)
    }),
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.interrupt
        : Effect.sync(() =>
          place.note(`the ledger's place can't be looked at: ${Cause.pretty(cause)}`)
        )
    )
  )
  yield* keeper.loop("look at the ledger's place", look)
  return place
})
