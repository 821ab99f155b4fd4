/**
 * `ledger verify` for a ledger in a file: checks it against everything that it promises: SQLite's own structure, rows
 * without gaps, the snapshot, and what ChunkCheck and DrawCheck check of every ledger. It checks what was there when it
 * began, slice by slice, each in a short transaction: chunks are only ever added, and a server that writes meanwhile is
 * not held up.
 */
import { Effect } from "effect"
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { chunkColumns, chunkOf, type ChunkRow, isIntact } from "../ledger/sqlite/ChunkTable.ts"
import { text } from "../ledger/sqlite/Columns.ts"
import { toFailure } from "../ledger/sqlite/LedgerProblem.ts"
import { resultCode } from "../ledger/sqlite/SqliteCodes.ts"
import { ChunkCheck } from "./ChunkCheck.ts"
import { type AddProblem, compareDraw } from "./DrawCheck.ts"
import { compareSnapshot, type FileClaims, readClaims } from "./FileClaims.ts"
import { attempt, inTransaction, openLedger } from "./ReadLedger.ts"
import { Problems, problemsMax, type Verification } from "./Verification.ts"

export const verifyFile = Effect.fnUntraced(function*(file: string) {
  const db = yield* openLedger(file)
  const check = new FileCheck(db)
  // Signals are handled between two slices.
  while (yield* attempt("verify", file, () => check.next())) yield* Effect.yieldNow
  return check.result
}, Effect.scoped)

/** A slice ends when it has read this much. */
const sliceBytes = 1024 * 1024

class FileCheck {
  readonly #db: DatabaseSync
  readonly #problems = new Problems()
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
      this.#slices = new Slices(this.#db, this.#problems.add)
      return true
    } catch (error) {
      const reason = damageOf(error)
      if (reason === undefined) throw error
      this.#problems.add(
        `what follows chunk row ${this.#slices?.lastRow ?? 0} can't be read: ${reason}`
      )
      return false
    }
  }

  get result(): Verification {
    const { chunks, claims } = this.#slices ?? {}
    return this.#problems.verification(chunks, claims?.draw !== undefined)
  }

  #checkStructure(): void {
    for (const row of this.#db.prepare(`PRAGMA integrity_check(${problemsMax})`).iterate()) {
      const message = text(row, "integrity_check")
      if (message !== "ok") this.#problems.add(`SQLite: ${message}`)
    }
  }
}

/** Checks the chunks slice by slice, and compares each claim as soon as the chunks that it is about have been read. */
class Slices {
  readonly claims: FileClaims
  readonly chunks: ChunkCheck
  /** The row id of the chunk checked last. */
  lastRow = 0
  readonly #add: AddProblem
  readonly #rows: StatementSync
  #snapshotCompared = false

  constructor(db: DatabaseSync, add: AddProblem) {
    this.#add = add
    this.claims = inTransaction(db, () => readClaims(db, add))
    this.chunks = new ChunkCheck(this.claims, add)
    this.#rows = db.prepare(
      `SELECT ${chunkColumns} FROM chunk WHERE id > ? AND id <= ? ORDER BY id`
    )
  }

  next(): boolean {
    let bytes = 0
    for (const row of this.#rows.iterate(this.lastRow, this.claims.lastChunk)) {
      const chunk = chunkOf(row)
      if (chunk.id > this.claims.snapshotEnd) this.#compareSnapshot()
      this.#check(chunk)
      bytes += chunk.body.length
      if (bytes >= sliceBytes) return true
    }
    this.#compareSnapshot()
    compareDraw(this.claims, this.chunks, this.#add)
    return false
  }

  #check(row: ChunkRow): void {
    const { agency, id, last, seq } = row
    // Row ids have no gaps. A missing chunk that was its agency's last is noticed only here.
    const missing = this.lastRow + 1
    if (id !== missing) this.#add(`chunk rows ${missing} to ${id - 1} are missing`)
    if (last !== 0 && last !== 1) this.#add(`agency ${agency}, chunk ${seq}: "last" is ${last}`)
    this.chunks.check({ ...row, last: last === 1 }, isIntact(row))
    this.lastRow = id
  }

  /** Called when exactly the chunks that the snapshot covers have been read; later calls do nothing. */
  #compareSnapshot(): void {
    if (this.#snapshotCompared) return
    this.#snapshotCompared = true
    compareSnapshot(this.claims, this.lastRow, this.chunks.standings, this.#add)
  }
}

/** The damage that an error reports; undefined when trying again can help, and for a defect of this check. */
const damageOf = (error: unknown): string | undefined => {
  const failure = toFailure(error)
  if (failure.kind === "Unreadable") return failure.problem
  const fromSqlite = resultCode(error) !== undefined && failure.kind !== "Unavailable"
  return fromSqlite && error instanceof Error ? error.message : undefined
}
