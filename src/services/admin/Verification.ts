/** What `ledger verify` finds. A problem names its place and no bettor's data. */
import { Schema } from "effect"
import type { ChunkCheck } from "./ChunkCheck.ts"

/** The ledger doesn't keep what it promises. */
export class LedgerDamaged extends Schema.TaggedError<LedgerDamaged>()("LedgerDamaged", {
  path: Schema.String,
  problems: Schema.Int
}) {
  override get message(): string {
    return `${this.path}: ${this.problems} ${this.problems === 1 ? "problem" : "problems"}; `
      + "stop the server and restore the ledger from a backup"
  }
}

export interface Verification {
  readonly chunks: number
  readonly bets: number
  /** How many agencies have sent, and how many have finished. */
  readonly agencies: number
  readonly finished: number
  readonly drawHeld: boolean
  readonly problemCount: number
  /** The first of the problems. */
  readonly problems: ReadonlyArray<string>
}

/** More problems than this are only counted. */
export const problemsMax = 100

export class Problems {
  readonly #problems: Array<string> = []
  #count = 0

  readonly add = (problem: string): void => {
    if (++this.#count <= problemsMax) this.#problems.push(problem)
  }

  /** With what was checked, as far as the check came. */
  verification(chunks: ChunkCheck | undefined, drawHeld: boolean): Verification {
    const standings = [...(chunks?.standings.values() ?? [])]
    return {
      chunks: chunks?.count ?? 0,
      bets: chunks?.bets ?? 0,
      agencies: standings.length,
      finished: standings.filter(({ finished }) => finished).length,
      drawHeld,
      problemCount: this.#count,
      problems: this.#problems
    }
  }
}
