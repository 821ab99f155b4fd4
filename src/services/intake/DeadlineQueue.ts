/**
 * A deadline that many owners share, all with the same duration: they expire in the order in which they began, so one
 * periodic sweep serves thousands without a timer each. Time is counted in sweeps, not read from a clock: a clock that
 * jumps changes nothing. An owner expires after at least its duration and at most one sweep more.
 */
import { Effect, type Scope } from "effect"
import type { RootKeeper } from "../base/Keeper.ts"

/** Sweeps per duration. */
const sweeps = 8

/** Sweeps are at least this far apart: without it a duration of 0 would keep a core busy. */
const sweepMsMin = 5

export class DeadlineQueue<Owner> {
  #tick = 0
  readonly #begun = new Map<Owner, number>()

  /** Starts the owner's time, unless it runs already. */
  begin(owner: Owner): void {
    if (!this.#begun.has(owner)) this.#begun.set(owner, this.#tick)
  }

  end(owner: Owner): void {
    this.#begun.delete(owner)
  }

  get size(): number {
    return this.#begun.size
  }

  /** A step of time: gives back, and forgets, those whose time is over. */
  sweep(): ReadonlyArray<Owner> {
    this.#tick++
    const expired: Array<Owner> = []
    for (const [owner, tick] of this.#begun) {
      if (this.#tick - tick <= sweeps) break
      this.#begun.delete(owner)
      expired.push(owner)
    }
    return expired
  }

  /** Sweeps for as long as the scope lives; `onExpired` is kept for each owner by itself. */
  run(
    keeper: RootKeeper,
    durationMs: number,
    onExpired: (owner: Owner) => void
  ): Effect.Effect<void, never, Scope.Scope> {
    const sweep = Effect.sync(() => {
      for (const owner of this.sweep()) onExpired(owner)
    })
    return keeper.loop(
      "deadlines",
      Effect.andThen(Effect.sleep(Math.max(durationMs / sweeps, sweepMsMin)), sweep)
    )
  }
}
