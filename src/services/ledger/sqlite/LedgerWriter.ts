/**
 * The one writer of a ledger, synchronous: it lives in a thread of its own. It stores groups, holds the draw, and
 * keeps what is known of every agency, to refuse what would break the count whatever its caller decided. A failed
 * transaction leaves the file and what is known as they were.
 */
import { randomInt } from "node:crypto"
import * as fs from "node:fs"
import type { DatabaseSync } from "node:sqlite"
import { isDeepStrictEqual } from "node:util"
import { sizesAgree } from "../../../domain/BetRecord.ts"
import type { ToldRecord } from "../../../domain/Draw.ts"
import { nothingStored, type Standing } from "../../../domain/Intake.ts"
import { AcknowledgedMark } from "./AcknowledgedMark.ts"
import { chunkChecksum, rowChecksum } from "./Checksum.ts"
import { integer } from "./Columns.ts"
import { drawWinners } from "./DrawScan.ts"
import { type DrawRecord, readDraw, writeDraw } from "./DrawTable.ts"
import { decodeGroup, type GroupChunk } from "./GroupBuffer.ts"
import { fenced, meddled } from "./Intrusion.ts"
import { removeDatabase, takePlace } from "./LedgerPlace.ts"
import { defect, isDefect, LedgerProblem, whileOpening } from "./LedgerProblem.ts"
import { readBeganAt, readLottery } from "./LotteryTable.ts"
import { openForWriting } from "./OpenLedger.ts"
import { PlaceWatch, stampBytes } from "./PlaceWatch.ts"
import { readSnapshotEnd } from "./SnapshotTable.ts"
import { primaryCode, sqliteCode } from "./SqliteCodes.ts"
import { readStandings } from "./Standings.ts"
import { prepare, type Statements } from "./Statements.ts"
import { readTold, writeTold } from "./ToldTable.ts"
import type { WriterConfig } from "./WriterConfig.ts"

/** As random as `randomInt` can make it: no two openings of any ledger have the same token. */
const tokenMax = 2 ** 48 - 1
const countFailure = "UPDATE disk_failure SET commits = commits + 1"

/** A transaction, and how to find out whether it is stored when its COMMIT ended in an error. */
interface Transaction {
  readonly work: () => void
  readonly isStored: () => boolean
  /** Takes it out again, in a transaction of its own. */
  readonly takeBack: () => void
}

export class LedgerWriter {
  readonly #config: WriterConfig
  /** What the configured path means. */
  readonly #file: string
  readonly #lock: DatabaseSync
  readonly #mark: AcknowledgedMark
  /** Of this opening: who opens the ledger after it writes another, and no transaction of this one is stored then. */
  readonly #token: number
  /** To look into the file. Closed after SQLite's: see SyncedFile.ts. */
  readonly #descriptor: number
  #place: PlaceWatch
  #db: DatabaseSync
  #statements: Statements
  readonly #standings = new Map<number, Standing>()
  #draw: DrawRecord | undefined
  readonly drawName: string
  /** Who had been told its winners when the ledger was opened. */
  readonly told: ReadonlyMap<number, ToldRecord>
  /** Whether the lottery began when this opened the ledger. */
  readonly isNew: boolean
  /** The id of the last chunk stored; ids are the order of commits. */
  #lastChunk: number
  /** The last chunk that the snapshot covers, and who has sent since. */
  #snapshotEnd: number
  readonly #changed = new Set<number>()

  constructor(config: WriterConfig) {
    const { file: path, lock } = takePlace(config.path)
    this.#config = config
    this.#file = path
    this.#lock = lock
    let isNew = false
    const existed = fs.existsSync(path)
    try {
      this.#db = openForWriting({ ...config, path }, () => {
        isNew = true
      })
    } catch (error) {
      if (!existed) removeDatabase(path)
      this.#lock.close()
      throw error
    }
    try {
      const found = whileOpening(path, () => this.#readAll(config.agencies))
      this.#statements = found.statements
      this.#token = found.token
      this.#draw = found.draw
      this.drawName = found.drawName
      this.told = found.told
      this.isNew = isNew
      this.#lastChunk = found.lastChunk
      this.#snapshotEnd = found.snapshotEnd
      this.#mark = whileOpening(
        path,
        () => new AcknowledgedMark(path, found.beganAt, found.lastChunk)
      )
      this.#descriptor = whileOpening(path, () => fs.openSync(path, "r"))
      this.#place = whileOpening(path, () => this.#watch())
    } catch (error) {
      this.#db.close()
      if (!existed) removeDatabase(path)
      this.#lock.close()
      throw error
    }
  }

  #readAll(agencies: ReadonlyArray<number>) {
    const db = this.#db
    const statements = prepare(db)
    // Before anything is read: what another process stores after this is not stored.
    const token = integer(
      db.prepare("UPDATE fence SET token = ? RETURNING token").get(randomInt(tokenMax)),
      "token"
    )
    for (const agency of agencies) this.#standings.set(agency, nothingStored)
    for (const [agency, standing] of readStandings(db)) this.#standings.set(agency, standing)
    const [lottery, beganAt] = [readLottery(db), readBeganAt(db)]
    if (lottery === undefined || beganAt === undefined) throw defect("the ledger has no lottery")
    const snapshotEnd = readSnapshotEnd(db)
    const since = db.prepare("SELECT DISTINCT agency FROM chunk WHERE id > ?")
    for (const row of since.iterate(snapshotEnd)) this.#changed.add(integer(row, "agency"))
    return {
      statements,
      token,
      snapshotEnd,
      draw: readDraw(db),
      drawName: lottery.draw,
      told: readTold(db),
      lastChunk: integer(statements.lastChunk.get(), "id"),
      beganAt
    }
  }

  get agencies(): ReadonlyMap<number, Standing> {
    return this.#standings
  }

  get draw(): DrawRecord | undefined {
    return this.#draw
  }

  /** Why the path doesn't lead to the file that is written, if it doesn't. */
  lookAtPlace(): string | undefined {
    const problem = this.#place.lookInside()
    // A token of another central isn't a file that was written over, but its end here.
    if (this.#place.overwritten) this.#requireToken()
    return problem
  }

  #watch(): PlaceWatch {
    // Emptied, as a new log is: one that is only copied keeps room that a full disk hasn't.
    const checkpoint = this.#db.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get()
    // Where somebody reads what is older, the token isn't in the file yet.
    if (integer(checkpoint, "busy") !== 0) {
      return new PlaceWatch(this.#config.path, this.#file, undefined)
    }
    const size = this.#db.prepare("PRAGMA page_size").get()
    const page = this.#db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'fence'").get()
    return new PlaceWatch(this.#config.path, this.#file, {
      descriptor: this.#descriptor,
      offset: integer(page, "rootpage") * integer(size, "page_size") - stampBytes
    })
  }

  /**
   * Stores the group, whole and on disk, or throws with nothing stored. An empty one stores nothing that counts, and so
   * finds out whether anything can be stored.
   */
  commit(buffer: ArrayBuffer): void {
    const group = decodeGroup(buffer)
    const standings = this.#check(group)
    const lastChunk = this.#lastChunk + group.length
    const snapshotDue = lastChunk - this.#snapshotEnd >= this.#config.snapshotChunks
    this.#transaction({
      work: () => {
        const insert = this.#statements.insert
        let id = this.#lastChunk
        for (const chunk of group) {
          id++
          const { agency, bets, body, numbers, seq } = chunk
          const last = chunk.last ? 1 : 0
          const checksum = chunkChecksum(id, agency, seq, last, bets, numbers, body)
          insert.run(id, agency, seq, last, bets, numbers, body, checksum)
        }
        if (snapshotDue) this.#writeSnapshot(lastChunk, standings)
        if (group.length === 0) this.#db.exec(countFailure)
      },
      isStored: () => this.#holds(group),
      takeBack: () => {
        this.#db.prepare("DELETE FROM chunk WHERE id > ?").run(this.#lastChunk)
        if (snapshotDue) this.#writeSnapshot(this.#lastChunk, this.#standingsOf(standings.keys()))
      }
    })
    this.#lastChunk = lastChunk
    this.#mark.note(lastChunk)
    for (const [agency, standing] of standings) {
      this.#standings.set(agency, standing)
      this.#changed.add(agency)
    }
    if (snapshotDue) this.#snapshotTaken()
  }

  /** Holds the draw, or gives the one already held. */
  holdDraw(): DrawRecord {
    if (this.#draw !== undefined) return this.#draw
    for (const [agency, standing] of this.#standings) {
      if (!standing.finished) {
        throw defect(`the draw was to be held before agency ${agency} finished`)
      }
    }
    if (this.lookAtPlace() !== undefined) throw this.#displaced
    let draw: DrawRecord | undefined
    this.#transaction({
      work: () => {
        draw = drawWinners(this.#db, this.#lastChunk)
        writeDraw(this.#db, draw)
      },
      isStored: () => draw !== undefined && isDeepStrictEqual(readDraw(this.#db), draw),
      takeBack: () => this.#db.exec("DELETE FROM winner; DELETE FROM draw")
    })
    if (draw === undefined) throw defect("the draw's transaction ended without a draw")
    this.#draw = draw
    return draw
  }

  /** Notes who was told its winners. */
  noteTold(records: ReadonlyArray<ToldRecord>): void {
    this.#transaction({
      work: () => writeTold(this.#db, records),
      isStored: () => false,
      takeBack: () => {}
    })
  }

  /**
   * Leaves one file with everything in it, if no reader stands in the way, and lets the ledger go. `unused`: none of it is
   * needed if it is new.
   */
  close(unused = false): void {
    let remove = false
    try {
      // Of a file that isn't in its place only the mark says what is missing there.
      if (this.lookAtPlace() === undefined) {
        this.#requireToken()
        if (this.#changed.size > 0) {
          this.#transaction({
            work: () => this.#writeSnapshot(this.#lastChunk, new Map()),
            isStored: () => true,
            takeBack: () => {}
          })
          this.#snapshotTaken()
        }
        const checkpoint = this.#db.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get()
        if (integer(checkpoint, "busy") === 0) this.#mark.remove()
        remove = unused && this.isNew && this.#lastChunk === 0
      }
    } catch {
      // Snapshot and checkpoint only make the next start faster: what was acknowledged is in the log.
    } finally {
      this.#mark.close()
      this.#db.close()
      fs.closeSync(this.#descriptor)
      if (remove) this.#remove()
      this.#lock.close()
    }
  }

  /** The lock's file stays: another process may have it open already, and would lock what nobody else sees. */
  #remove(): void {
    try {
      this.#mark.remove()
      removeDatabase(this.#file)
    } catch {
      // It is a ledger without a chunk, which can be begun anew.
    }
  }

  /** What will be known of the group's agencies once it is stored. Refuses what would break the count. */
  #check(group: ReadonlyArray<GroupChunk>): ReadonlyMap<number, Standing> {
    if (this.#draw !== undefined) throw defect("a chunk came after the draw")
    const after = new Map<number, Standing>()
    for (const chunk of group) {
      const { agency, seq } = chunk
      const known = after.get(agency) ?? this.#standings.get(agency)
      if (known === undefined) throw defect(`agency ${agency} is not in the roster`)
      if (known.finished) throw defect(`chunk ${seq} came after agency ${agency} had finished`)
      if (seq !== known.seq + 1) {
        throw defect(`chunk ${seq} of agency ${agency} came after chunk ${known.seq}`)
      }
      if (!sizesAgree(chunk.bets, chunk.numbers, chunk.body)) {
        throw defect(`chunk ${seq} of agency ${agency} is not as long as its ${chunk.bets} bets`)
      }
      after.set(agency, { seq, bets: known.bets + chunk.bets, finished: chunk.last })
    }
    return after
  }

  #writeSnapshot(lastChunk: number, newer: ReadonlyMap<number, Standing>): void {
    const write = (agency: number, { seq, bets, finished }: Standing) => {
      const mark = finished ? 1 : 0
      this.#statements.snapshot.run(agency, seq, bets, mark, rowChecksum(agency, seq, bets, mark))
    }
    for (const agency of this.#changed) {
      if (!newer.has(agency)) write(agency, this.#standings.get(agency) ?? nothingStored)
    }
    for (const [agency, standing] of newer) write(agency, standing)
    this.#statements.snapshotEnd.run(lastChunk)
  }

  #snapshotTaken(): void {
    this.#snapshotEnd = this.#lastChunk
    this.#changed.clear()
  }

  /** What is known of these agencies now. */
  #standingsOf(agencies: Iterable<number>): ReadonlyMap<number, Standing> {
    return new Map(
      [...agencies].map((agency) => [agency, this.#standings.get(agency) ?? nothingStored])
    )
  }

  /** Runs a transaction to its end, on disk and in the file that the ledger's path leads to. */
  #transaction(transaction: Transaction): void {
    // Looked at after every commit; before one only where it was wrong.
    if (this.#place.problem !== undefined && this.#place.look() !== undefined) throw this.#displaced
    this.#store(transaction)
    if (this.#place.look() === undefined) return
    try {
      this.#statements.begin.run()
      transaction.takeBack()
      this.#statements.commit.run()
    } catch (error) {
      throw defect(
        `a transaction can't be taken back from a ledger that isn't in its place (${
          String(error)
        }): ${this.#place.problem}`
      )
    }
    throw this.#displaced
  }

  get #displaced(): LedgerProblem {
    return new LedgerProblem({ kind: "Displaced", message: this.#place.problem ?? "" })
  }

  #store({ isStored, work }: Transaction): void {
    let committing = false
    try {
      this.#statements.begin.run()
      this.#requireToken()
      work()
      committing = true
      this.#statements.commit.run()
    } catch (error) {
      // A row that is in the way was not written here: every id and every draw is checked before.
      if (primaryCode(error) === sqliteCode.constraint) return this.#endWith(meddled(error))
      if (isDefect(error)) return this.#endWith(error)
      if (this.#undo(committing ? isStored : () => false)) return
      if (primaryCode(error) === sqliteCode.ioError) this.#overwrite()
      throw error
    }
  }

  /** In a transaction: nobody has opened the ledger since. */
  #requireToken(): void {
    if (integer(this.#statements.token.get(), "token") !== this.#token) throw fenced()
  }

  #rollBack(): void {
    if (this.#db.isTransaction) this.#db.exec("ROLLBACK")
  }

  /** The process ends: a rollback that fails as well changes nothing. */
  #endWith(error: unknown): never {
    try {
      this.#rollBack()
    } catch {
      // As said.
    }
    throw error
  }

  /** Whether the file holds what it held before the transaction, as far as it shows. */
  #isAsBefore(): boolean {
    return integer(this.#statements.lastChunk.get(), "id") === this.#lastChunk
      && (this.#db.prepare("SELECT id FROM draw").get() === undefined) ===
        (this.#draw === undefined)
  }

  /** Whether the ledger's last chunks are exactly those of the group. */
  #holds(group: ReadonlyArray<GroupChunk>): boolean {
    if (integer(this.#statements.lastChunk.get(), "id") !== this.#lastChunk + group.length) {
      return false
    }
    const find = this.#db.prepare("SELECT agency, seq, checksum FROM chunk WHERE id = ?")
    return group.every((chunk, index) => {
      const { agency, bets, body, numbers, seq } = chunk
      const id = this.#lastChunk + index + 1
      const row = find.get(id)
      return row?.["agency"] === agency && row["seq"] === seq
        && row["checksum"]
          === chunkChecksum(id, agency, seq, chunk.last ? 1 : 0, bets, numbers, body)
    })
  }

  /**
   * Makes sure that the file holds what it held before the transaction. A rollback does that, and the connection can
   * vouch for it without touching the disk: what it sees of the log ends at the last commit that was synced. Only if
   * it can't, the file is opened anew and compared. True when the transaction turns out to be stored after all: what
   * is there must be what was to be written, since others than this writer can write to a file as well.
   */
  #undo(isStored: () => boolean): boolean {
    try {
      this.#rollBack()
      if (this.#isAsBefore()) return false
    } catch {
      // The connection is of no use any more.
    }
    const displaced = this.#place.look()
    if (displaced !== undefined) throw defect(displaced)
    try {
      this.#db.close()
    } catch {
      // It is replaced in any case.
    }
    try {
      this.#db = openForWriting({ ...this.#config, path: this.#file })
      this.#statements = prepare(this.#db)
      // What is whole in the log need not have been synced. A checkpoint writes it to the file, and syncs that.
      const checkpoint = this.#db.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get()
      if (integer(checkpoint, "busy") === 0) {
        this.#requireToken()
        this.#place = this.#watch()
        if (this.#isAsBefore()) return false
        if (isStored()) return true
        throw meddled(undefined)
      }
    } catch (error) {
      if (error instanceof LedgerProblem && error.failure.kind !== "Unavailable") throw error
    }
    throw defect(
      "the ledger can't tell whether its last transaction is stored; a restart reads it from the disk"
    )
  }

  /**
   * After a failed sync the log's file can hold the whole transaction behind what counts of it, and a process that
   * opened it after a crash would take it for stored. Another transaction is written in its place. It must change
   * something, or SQLite writes nothing; so it counts the failures.
   */
  #overwrite(): void {
    try {
      this.#db.prepare(`${countFailure} WHERE (SELECT token FROM fence) = ?`).run(this.#token)
    } catch {
      // Its sync failed as well. Written it is, unless the disk takes nothing at all; then the next commit does it.
    }
  }
}
