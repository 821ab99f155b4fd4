/**
 * `ledger verify`: checks a ledger against everything that it promises: SQLite's own structure, chunks without gaps,
 * counts that agree with what is counted, bets that keep their rules, the snapshot, and the draw, whose winners are
 * found again from the bets. It checks what was there when it began, slice by slice, each in a short transaction: chunks are only
 * ever added, and a server that writes meanwhile is not held up. A problem names its place and no bettor's data.
 */
import { Effect, Schema } from "effect"
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { chunkColumns, chunkOf } from "../ledger/sqlite/ChunkTable.ts"
import { text } from "../ledger/sqlite/Columns.ts"
import { toFailure } from "../ledger/sqlite/LedgerProblem.ts"
import { resultCode } from "../ledger/sqlite/SqliteCodes.ts"
import { ChunkCheck } from "./ChunkCheck.ts"
import { type Claims, compareDraw, compareSnapshot, readClaims } from "./LedgerClaims.ts"
import { attempt, inTransaction, openLedger } from "./ReadLedger.ts"

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

/** Finds every problem; fails only when the ledger can't be read at the moment. */
export const verifyLedger = Effect.fn("LedgerCheck.verifyLedger")(function*(file: string) {
  const db = yield* openLedger(file)
  const check = new LedgerCheck(db)
  // Signals are handled between two slices.
  while (yield* attempt("verify", file, () => check.next())) yield* Effect.yieldNow
  return check.result
}, Effect.scoped)

/** More problems than this are only counted. */
const problemsMax = 100
/** A slice ends when it has read this much. */
const sliceBytes = 1024 * 1024

class LedgerCheck {
  readonly #db: DatabaseSync
  readonly #problems: Array<string> = []
  #problemCount = 0
  /** The rest of the check; undefined until SQLite's structure was checked. */
  #slices: Slices | undefined

  constructor(db: DatabaseSync) {
    this.#db = db
  }

  /** Checks the next part; false when there is none left. Throws when the ledger can't be read at the moment. */
  next(): boolean {
    try {
      if (this.#slices !== undefined) return this.#slices.next()
      this.#checkStructure()
      this.#slices = new Slices(this.#db, this.#add)
      return true
    } catch (error) {
      const reason = damageOf(error)
      if (reason === undefined) throw error
      this.#add(
        `what follows chunk row ${this.#slices?.chunks.lastRow ?? 0} can't be read: ${reason}`
      )
      return false
    }
  }

  get result(): Verification {
    const { chunks, claims } = this.#slices ?? {}
    const standings = [...(chunks?.standings.values() ?? [])]
    return {
      chunks: chunks?.count ?? 0,
      bets: chunks?.bets ?? 0,
      agencies: standings.length,
      finished: standings.filter(({ finished }) => finished).length,
      drawHeld: claims?.draw !== undefined,
      problemCount: this.#problemCount,
      problems: this.#problems
    }
  }

  readonly #add = (problem: string): void => {
    if (++this.#problemCount <= problemsMax) this.#problems.push(problem)
  }

  #checkStructure(): void {
    for (const row of this.#db.prepare(`PRAGMA integrity_check(${problemsMax})`).iterate()) {
      const message = text(row, "integrity_check")
      if (message !== "ok") this.#add(`SQLite: ${message}`)
    }
  }
}

/** Checks the chunks slice by slice, and compares each claim as soon as the chunks that it is about have been read. */
class Slices {
  readonly claims: Claims
  readonly chunks: ChunkCheck
  readonly #add: (problem: string) => void
  readonly #rows: StatementSync
  #snapshotCompared = false

  constructor(db: DatabaseSync, add: (problem: string) => void) {
    this.#add = add
    this.claims = inTransaction(db, () => readClaims(db, add))
    this.chunks = new ChunkCheck(this.claims, add)
    this.#rows = db.prepare(
      `SELECT ${chunkColumns} FROM chunk WHERE id > ? AND id <= ? ORDER BY id`
    )
  }

  next(): boolean {
    let bytes = 0
    for (const row of this.#rows.iterate(this.chunks.lastRow, this.claims.lastChunk)) {
      const chunk = chunkOf(row)
      if (chunk.id > this.claims.snapshotEnd) this.#compareSnapshot()
      this.chunks.check(chunk)
      bytes += chunk.body.length
      if (bytes >= sliceBytes) return true
    }
    this.#compareSnapshot()
    compareDraw(this.claims, this.chunks, this.#add)
    return false
  }

  /** Called when exactly the chunks that the snapshot covers have been read; later calls do nothing. */
  #compareSnapshot(): void {
    if (this.#snapshotCompared) return
    this.#snapshotCompared = true
    compareSnapshot(this.claims, this.chunks, this.#add)
  }
}

/** The damage that an error reports; undefined when trying again can help, and for a defect of this check. */
const damageOf = (error: unknown): string | undefined => {
  const failure = toFailure(error)
  if (failure.kind === "Unreadable") return failure.problem
  const fromSqlite = resultCode(error) !== undefined && failure.kind !== "Unavailable"
  return fromSqlite && error instanceof Error ? error.message : undefined
}
