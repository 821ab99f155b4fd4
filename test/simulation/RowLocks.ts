/**
 * Locks on the agencies' rows: exclusive, taken all at once and in the order asked for. Real statements take theirs one
 * after the other, always in the same order, which comes to the same.
 */
import type { AgencyId } from "../../src/domain/Agency.ts"

interface Waiting {
  readonly rows: ReadonlyArray<AgencyId>
  readonly run: (unlock: () => void) => void
}

export class RowLocks {
  readonly #held = new Set<AgencyId>()
  #waiting: ReadonlyArray<Waiting> = []

  /** Runs something with the rows locked, until it unlocks them. Gives whether that was at once. */
  take(rows: Iterable<AgencyId>, run: (unlock: () => void) => void): boolean {
    const one = { rows: [...rows], run }
    // Who waits for one of the rows comes first.
    const isFree = this.#isFree(one.rows)
      && !this.#waiting.some((before) => before.rows.some((row) => one.rows.includes(row)))
    if (isFree) this.#run(one)
    else this.#waiting = [...this.#waiting, one]
    return isFree
  }

  #isFree(rows: ReadonlyArray<AgencyId>): boolean {
    return rows.every((row) => !this.#held.has(row))
  }

  #run({ rows, run }: Waiting): void {
    for (const row of rows) this.#held.add(row)
    run(() => {
      for (const row of rows) this.#held.delete(row)
      const waiting = this.#waiting
      this.#waiting = []
      for (const next of waiting) this.take(next.rows, next.run)
    })
  }
}
