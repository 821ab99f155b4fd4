/** Seeded randomness (mulberry32): the same seed gives the same numbers, on every machine. */

const spread = (seed: number): number => {
  let mixed = Math.imul(seed ^ (seed >>> 16), 0x21f0aaad)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
  return (mixed ^ (mixed >>> 15)) >>> 0
}

export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = spread(seed + 0x9e3779b9)
  }

  /** From 0 up to, not including, 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }

  /** An integer from `minimum` to `maximum`, both included. */
  integer(minimum: number, maximum: number): number {
    return minimum + Math.floor(this.next() * (maximum - minimum + 1))
  }

  /** Like {@link integer}, but mostly small. */
  skewed(minimum: number, maximum: number): number {
    return minimum + Math.floor(this.next() ** 4 * (maximum - minimum + 1))
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<A>(from: readonly [A, ...ReadonlyArray<A>]): A {
    return from[this.integer(0, from.length - 1)] ?? from[0]
  }

  /** A stream of its own: drawing from one doesn't change the other. */
  split(): Random {
    return new Random(Math.floor(this.next() * 4294967296))
  }
}
