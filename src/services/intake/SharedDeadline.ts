/**
 * A deadline that many owners share, all with the same duration. They expire in the order in which they began, so one
 * periodic sweep serves thousands without a timer each. Time is counted in sweeps, not read from a clock: a clock that
 * jumps changes nothing. An owner expires after at least its duration and at most one sweep more.
 */
import { Effect, type Scope } from "effect"
import type { RootKeeper } from "../base/Keeper.ts"

const sweepsPerDuration = 8

/** Sweeps are at least this far apart: without it a duration of 0 would keep a core busy. */
const sweepMsMin = 5

export class SharedDeadline<Owner> {
  #sweeps = 0
  /** After which sweep each owner's time began. */
  readonly #begun = new Map<Owner, number>()

  /** Starts the owner's time, unless it runs already. */
  begin(owner: Owner): void {
    if (!this.#begun.has(owner)) this.#begun.set(owner, this.#sweeps)
  }

  end(owner: Owner): void {
    this.#begun.delete(owner)
  }

  get size(): number {
    return this.#begun.size
  }

  /** A step of time: returns the owners whose time is over, and forgets them. */
  sweep(): ReadonlyArray<Owner> {
    this.#sweeps++
    const expired: Array<Owner> = []
    for (const [owner, begun] of this.#begun) {
      if (this.#sweeps - begun <= sweepsPerDuration) break
      this.#begun.delete(owner)
      expired.push(owner)
    }
    return expired
  }

  /** Sweeps for as long as the scope lives. `onExpired` must not throw: the keeper watches it for each owner. */
  run(
    keeper: RootKeeper,
    durationMs: number,
    onExpired: (owner: Owner) => void
  ): Effect.Effect<void, never, Scope.Scope> {
    const sweep = Effect.sync(() => {
      for (const owner of this.sweep()) onExpired(owner)
    })
    const sweepMs = Math.max(durationMs / sweepsPerDuration, sweepMsMin)
    return keeper.loop("deadlines", Effect.andThen(Effect.sleep(sweepMs), sweep))
  }
}
