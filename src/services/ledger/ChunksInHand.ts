/**
 * The chunks in hand: decided on, and not settled yet. An agency has one at most, so that a decision never builds on one
 * whose fate is open. A chunk is settled once: when it is on disk, when its group has failed and it doesn't stay for the
 * next try, or when it is lost.
 */
import { type Cause, Effect, Exit } from "effect"
import type { AgencyId } from "../../domain/Agency.ts"
import { invariant } from "../../domain/Invariant.ts"
import type { LedgerChunk } from "./BetLedger.ts"

/** A chunk, and how it is settled. They are callbacks so that a usual chunk costs no fiber and no effect. */
export interface PendingChunk {
  readonly chunk: LedgerChunk
  /** The chunk is on disk: settles and answers it. If there is more to do, it gives an effect, which is run at once. */
  readonly onStored: () => Effect.Effect<void> | undefined
  /**
   * Its group failed, and the next try comes in `retryAfterMs`. The chunk stays for it, and may fail again; or it has
   * been settled now, and answered, as not stored.
   */
  readonly onFailed: (retryAfterMs: number) => "stay" | "settled"
  /** The chunk gets no answer, and its agency's claim is no longer good. */
  readonly onLost: (why: Loss) => void
}

/**
 * `fenced`: the agency was claimed anew, and the chunk isn't stored. `in doubt`: the answer to its group is lost; the
 * next claim of the agency tells whether it is stored.
 */
export type Loss = "fenced" | "in doubt"

/** The chunks of one transaction, in the order of the decisions. */
export type Group = ReadonlyArray<PendingChunk>

export class ChunksInHand {
  readonly #agencies = new Set<AgencyId>()

  enter({ chunk }: PendingChunk): void {
    invariant(!this.#agencies.has(chunk.agency), "an agency has one chunk in hand at most")
    this.#agencies.add(chunk.agency)
  }

  #leave({ chunk }: PendingChunk): void {
    invariant(this.#agencies.delete(chunk.agency), "a chunk is settled once")
  }

  /**
   * Settles a group that is on disk, all of it: a defect at one chunk is no reason not to answer the others, and comes
   * out at the end.
   *
   * The generator function is written down once. One made for each group would each time leave V8 a map in its old
   * space, which keeps alive all that the generator sees, the whole group, until the next full collection.
   */
  readonly settleStored = Effect.fnUntraced({ self: this }, function*(group: Group) {
    let defect: Cause.Cause<never> | undefined
    for (const pending of group) {
      const more = this.#tryToSettle(pending)
      if (more === undefined) continue
      const exit = yield* Effect.exit(more)
      if (Exit.isFailure(exit)) defect ??= exit.cause
    }
    if (defect !== undefined) yield* Effect.failCause(defect)
  })

  #tryToSettle(pending: PendingChunk): Effect.Effect<void> | undefined {
    try {
      this.#leave(pending)
      return pending.onStored()
    } catch (defect) {
      return Effect.die(defect)
    }
  }

  /** Settles what doesn't stay of a group that failed, and gives what stays. */
  settleFailed(group: Group, retryAfterMs: number): Group {
    return group.filter((pending) => {
      const stays = pending.onFailed(retryAfterMs) === "stay"
      if (!stays) this.#leave(pending)
      return stays
    })
  }

  /** Settles chunks of which this server will not learn more. */
  settleLost(group: Group, why: Loss): void {
    for (const pending of group) {
      this.#leave(pending)
      pending.onLost(why)
    }
  }
}
