/** What a delivery knows across its connections: how far the central is, and what was sent to it. */
import { invariant } from "../../domain/Invariant.ts"

export class DeliveryState {
  #bets: number | undefined
  #storedSeq = 0
  #sentSeq: number | undefined
  #disagreed = false

  /** How many bets the central holds; undefined until it first said so. */
  get bets(): number | undefined {
    return this.#bets
  }

  /** The central holds chunks that this client never sent: another client of the agency sends too. */
  hasRival(storedSeq: number): boolean {
    return this.#sentSeq !== undefined && storedSeq > this.#sentSeq
  }

  /** The central said on a new connection which chunk is the last that it holds. */
  connected(storedSeq: number): void {
    // A chunk can be stored although its answer was lost: that is progress, too.
    if (storedSeq > this.#storedSeq) this.#disagreed = false
    this.#storedSeq = storedSeq
    this.#sentSeq = storedSeq
  }

  /** The bets that it holds are the first of those to deliver. */
  resumed(bets: number): void {
    this.#bets = bets
  }

  sending(seq: number): void {
    this.#sentSeq = seq
  }

  /** The next chunk was stored. */
  stored(bets: number): void {
    this.#bets = (this.#bets ?? 0) + bets
    this.#storedSeq++
    invariant(this.#storedSeq <= (this.#sentSeq ?? 0), "only chunks that were sent get stored")
    this.#disagreed = false
  }

  /** The central refused a chunk as out of step. Returns whether it did so before, without progress since. */
  disagreed(): boolean {
    const before = this.#disagreed
    this.#disagreed = true
    return before
  }
}
