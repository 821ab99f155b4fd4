/**
 * The writer's connection to the file. It runs each transaction to a known end: stored whole, on disk, and in the file
 * that the ledger's path leads to; or not stored at all, with the file as it was. Where neither can be established, it
 * throws a defect. The sync that every answer waits for is in its COMMIT.
 */
import { randomInt } from "node:crypto"
import * as fs from "node:fs"
import type { DatabaseSync } from "node:sqlite"
import { invariant } from "../../../domain/Invariant.ts"
import { readLastChunk } from "./ChunkTable.ts"
import { integer } from "./Columns.ts"
import { fenced, meddled } from "./Intrusion.ts"
import { defect, isDefect, LedgerProblem } from "./LedgerProblem.ts"
import { openForWriting } from "./OpenLedger.ts"
import { PlaceWatch, stampBytes } from "./PlaceWatch.ts"
import { primaryCode, sqliteCode } from "./SqliteCodes.ts"
import { prepare, type Statements } from "./Statements.ts"
import type { WriterConfig } from "./WriterConfig.ts"

/** As random as `randomInt` can make it: no two openings of any ledger have the same token. */
const tokenMax = 2 ** 48 - 1

/** Changes something that doesn't count, and so finds out whether anything can be stored. */
export const countFailure = "UPDATE disk_failure SET commits = commits + 1"

/** Writes this opening's token. An earlier opening of the ledger can store nothing from then on. */
export const takeToken = (db: DatabaseSync): number =>
  integer(
    db.prepare("UPDATE fence SET token = ? RETURNING token").get(randomInt(tokenMax)),
    "token"
  )

/** As much of what the file holds as shows whether a transaction has been stored. */
export interface Held {
  readonly lastChunk: number
  readonly isDrawn: boolean
}

export interface Transaction {
  /** What the file holds before it. */
  readonly before: Held
  readonly work: (db: DatabaseSync, statements: Statements) => void
  /** Whether the file holds exactly what `work` wrote; asked when COMMIT ended in an error. */
  readonly isStored: (db: DatabaseSync) => boolean
  /** Undoes a stored `work`, in a transaction of its own. */
  readonly takeBack: (db: DatabaseSync) => void
}

export class WriterConnection {
  readonly #config: WriterConfig
  /** What the configured path means. */
  readonly #file: string
  readonly #token: number
  /** To look into the file. Closed after SQLite's: see SyncedFile.ts. */
  readonly #descriptor: number
  #db: DatabaseSync
  #statements: Statements
  #place: PlaceWatch

  /** Takes over `db`, in which this opening's token is. */
  constructor(config: WriterConfig, file: string, db: DatabaseSync, token: number) {
    this.#config = config
    this.#file = file
    this.#token = token
    this.#db = db
    this.#statements = prepare(db)
    this.#descriptor = fs.openSync(file, "r")
    this.#place = this.#watch()
  }

  /** Why the path doesn't lead to the file that is written, if it doesn't. */
  lookAtPlace(): string | undefined {
    const problem = this.#place.lookInside()
    // The token of another central is not a file that was written over: it ends this writer.
    if (this.#place.overwritten) this.requireToken()
    return problem
  }

  /** Runs a transaction to its end. */
  transact(transaction: Transaction): void {
    // The place is looked at after every commit; before one only if it was wrong.
    if (this.#place.problem !== undefined && this.#place.look() !== undefined) throw this.displaced
    this.#store(transaction)
    if (this.#place.look() === undefined) return
    try {
      this.#statements.begin.run()
      transaction.takeBack(this.#db)
      this.#statements.commit.run()
    } catch (error) {
      throw defect(
        `a transaction can't be taken back from a ledger that isn't in its place (${
          String(error)
        }): ${this.#place.problem}`
      )
    }
    throw this.displaced
  }

  get displaced(): LedgerProblem {
    return new LedgerProblem({ kind: "Displaced", message: this.#place.problem ?? "" })
  }

  /** No other opening of the ledger has followed this one. Within a transaction it stays so until the end. */
  requireToken(): void {
    if (integer(this.#statements.token.get(), "token") !== this.#token) throw fenced()
  }

  /** Copies the whole log into the file and empties it; false if a reader prevents it. */
  emptyLog(): boolean {
    return integer(this.#db.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get(), "busy") === 0
  }

  close(): void {
    this.#db.close()
    fs.closeSync(this.#descriptor)
  }

  #watch(): PlaceWatch {
    // The log is emptied because a new one is empty: a log that was only copied keeps room that a full disk lacks.
    // While a reader needs older pages, the token isn't in the file yet.
    if (!this.emptyLog()) return new PlaceWatch(this.#config.path, this.#file, undefined)
    const size = this.#db.prepare("PRAGMA page_size").get()
    const page = this.#db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'fence'").get()
    return new PlaceWatch(this.#config.path, this.#file, {
      descriptor: this.#descriptor,
      offset: integer(page, "rootpage") * integer(size, "page_size") - stampBytes
    })
  }

  #store({ before, isStored, work }: Transaction): void {
    invariant(!this.#db.isTransaction, "the writer's transactions follow one another")
    let committing = false
    try {
      this.#statements.begin.run()
      this.requireToken()
      work(this.#db, this.#statements)
      committing = true
      this.#statements.commit.run()
    } catch (error) {
      // A row that is in the way was not written here: every id and every draw is checked before.
      if (primaryCode(error) === sqliteCode.constraint) return this.#endWith(meddled(error))
      if (isDefect(error)) return this.#endWith(error)
      if (this.#undo(before, committing ? isStored : () => false)) return
      if (primaryCode(error) === sqliteCode.ioError) this.#overwrite()
      throw error
    }
  }

  #rollBack(): void {
    if (this.#db.isTransaction) this.#db.exec("ROLLBACK")
  }

  /** The process ends, so it makes no difference if the rollback fails as well. */
  #endWith(error: unknown): never {
    try {
      this.#rollBack()
    } catch {
      // As said.
    }
    throw error
  }

  /**
   * Makes sure that the file holds what it held before the transaction. A rollback does that, and the connection can
   * vouch for it without touching the disk: what it sees of the log ends at the last commit that was synced. Only if
   * it can't, the file is opened anew and compared. True when the transaction turns out to be stored after all: what
   * is there must be what was to be written, since other programs can write to a file as well.
   */
  #undo(before: Held, isStored: (db: DatabaseSync) => boolean): boolean {
    try {
      this.#rollBack()
      if (this.#holds(before)) return false
    } catch {
      // The connection is of no use any more.
    }
    const displaced = this.#place.look()
    if (displaced !== undefined) throw defect(displaced)
    try {
      this.#reopen()
      // What is whole in the log need not have been synced. A checkpoint writes it to the file, and syncs that.
      if (this.emptyLog()) {
        this.requireToken()
        this.#place = this.#watch()
        if (this.#holds(before)) return false
        if (isStored(this.#db)) return true
        throw meddled(undefined)
      }
    } catch (error) {
      if (error instanceof LedgerProblem && error.failure.kind !== "Unavailable") throw error
    }
    throw defect(
      "the ledger can't tell whether its last transaction is stored; a restart reads it from the disk"
    )
  }

  #reopen(): void {
    try {
      this.#db.close()
    } catch {
      // It is replaced in any case.
    }
    this.#db = openForWriting({ ...this.#config, path: this.#file })
    this.#statements = prepare(this.#db)
  }

  #holds({ isDrawn, lastChunk }: Held): boolean {
    return readLastChunk(this.#db) === lastChunk
      && (this.#db.prepare("SELECT id FROM draw").get() !== undefined) === isDrawn
  }

  /**
   * After a failed sync the log's file can hold the whole transaction behind the part of it that counts, and a process
   * that opened it after a crash would take it for stored. Another transaction is written in its place. It must change
   * something, or SQLite writes nothing; so it counts the failures.
   */
  #overwrite(): void {
    try {
      this.#db.prepare(`${countFailure} WHERE (SELECT token FROM fence) = ?`).run(this.#token)
    } catch {
      // Its sync failed as well. It is written nevertheless, unless the disk takes nothing at all; then the next
      // commit does it.
    }
  }
}
