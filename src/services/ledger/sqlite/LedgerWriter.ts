/**
 * The one writer of a ledger, synchronous: it lives in a thread of its own. It stores groups, holds the draw, and notes
 * which agencies were told. A failed operation leaves the file, and what is known of it, as they were.
 */
import * as fs from "node:fs"
import type { DatabaseSync } from "node:sqlite"
import { isDeepStrictEqual } from "node:util"
import type { ToldRecord } from "../../../domain/Draw.ts"
import type { Standing } from "../../../domain/Standing.ts"
import { chunkChecksum } from "../ChunkChecksum.ts"
import { AcknowledgedMark } from "./AcknowledgedMark.ts"
import { readLastChunk } from "./ChunkTable.ts"
import { drawWinners } from "./DrawScan.ts"
import { type DrawRecord, readDraw, writeDraw } from "./DrawTable.ts"
import { decodeGroup, type GroupChunk } from "./GroupBuffer.ts"
import { removeDatabase, takePlace } from "./LedgerPlace.ts"
import { defect, whileOpening } from "./LedgerProblem.ts"
import { readBeganAt, readLottery } from "./LotteryTable.ts"
import { openForWriting } from "./OpenLedger.ts"
import { Standings } from "./Standings.ts"
import { readTold, writeTold } from "./ToldTable.ts"
import type { WriterConfig } from "./WriterConfig.ts"
import { countFailure, type Held, takeToken, WriterConnection } from "./WriterConnection.ts"

export class LedgerWriter {
  readonly #file: string
  readonly #lock: DatabaseSync
  readonly #connection: WriterConnection
  readonly #mark: AcknowledgedMark
  readonly #standings: Standings
  readonly #snapshotChunks: number
  #draw: DrawRecord | undefined
  /** The id of the last chunk stored; ids are the order of commits. */
  #lastChunk: number
  readonly drawName: string
  /** Which agencies had been told their winners when the ledger was opened. */
  readonly told: ReadonlyMap<number, ToldRecord>
  /** Whether the lottery began when this opened the ledger. */
  readonly isNew: boolean

  constructor(config: WriterConfig) {
    const { file, lock } = takePlace(config.path)
    const existed = fs.existsSync(file)
    let db: DatabaseSync | undefined
    let isNew = false
    try {
      const opened = openForWriting({ ...config, path: file }, () => {
        isNew = true
      })
      db = opened
      const found = whileOpening(file, () => readAll(opened, config.agencies))
      this.#mark = whileOpening(
        file,
        () => new AcknowledgedMark(file, found.beganAt, found.lastChunk)
      )
      this.#connection = whileOpening(
        file,
        () => new WriterConnection(config, file, opened, found.token)
      )
      this.#standings = found.standings
      this.#draw = found.draw
      this.#lastChunk = found.lastChunk
      this.drawName = found.drawName
      this.told = found.told
      this.isNew = isNew
    } catch (error) {
      db?.close()
      if (!existed) removeDatabase(file)
      lock.close()
      throw error
    }
    this.#file = file
    this.#lock = lock
    this.#snapshotChunks = config.snapshotChunks
  }

  get agencies(): ReadonlyMap<number, Standing> {
    return this.#standings.all
  }

  get draw(): DrawRecord | undefined {
    return this.#draw
  }

  /** Why the path doesn't lead to the file that is written, if it doesn't. */
  lookAtPlace(): string | undefined {
    return this.#connection.lookAtPlace()
  }

  /**
   * Stores the group, whole and on disk, or throws with nothing stored. An empty group stores nothing that counts, and
   * so finds out whether anything can be stored.
   */
  commit(buffer: ArrayBuffer): void {
    if (this.#draw !== undefined) throw defect("a chunk came after the draw")
    const group = decodeGroup(buffer)
    const standings = this.#standings
    const after = standings.after(group)
    const before = this.#lastChunk
    const lastChunk = before + group.length
    const snapshotDue = standings.chunksSinceSnapshot(lastChunk) >= this.#snapshotChunks
    this.#connection.transact({
      before: this.#held,
      work: (db, { insert }) => {
        let id = before
        for (const { agency, bets, body, last, numbers, seq } of group) {
          id++
          const mark = last ? 1 : 0
          const checksum = chunkChecksum(agency, seq, mark, bets, numbers, body)
          insert.run(id, agency, seq, mark, bets, numbers, body, checksum)
        }
        if (snapshotDue) standings.writeSnapshot(db, lastChunk, after)
        if (group.length === 0) db.exec(countFailure)
      },
      isStored: (db) => endsWith(db, before, group),
      takeBack: (db) => {
        db.prepare("DELETE FROM chunk WHERE id > ?").run(before)
        if (snapshotDue) standings.takeSnapshotBack(db, before, after)
      }
    })
    this.#lastChunk = lastChunk
    this.#mark.note(lastChunk)
    standings.settle(after)
    if (snapshotDue) standings.snapshotTaken(lastChunk)
  }

  /** Holds the draw, or gives the one already held. */
  holdDraw(): DrawRecord {
    if (this.#draw !== undefined) return this.#draw
    for (const [agency, { finished }] of this.#standings.all) {
      if (!finished) throw defect(`the draw was to be held before agency ${agency} finished`)
    }
    if (this.lookAtPlace() !== undefined) throw this.#connection.displaced
    let draw: DrawRecord | undefined
    this.#connection.transact({
      before: this.#held,
      work: (db) => {
        draw = drawWinners(db, this.#lastChunk)
        writeDraw(db, draw)
      },
      isStored: (db) => draw !== undefined && isDeepStrictEqual(readDraw(db), draw),
      takeBack: (db) => db.exec("DELETE FROM winner; DELETE FROM draw")
    })
    if (draw === undefined) throw defect("the draw's transaction ended without a draw")
    this.#draw = draw
    return draw
  }

  /** Notes which agencies were told their winners. */
  noteTold(records: ReadonlyArray<ToldRecord>): void {
    this.#connection.transact({
      before: this.#held,
      work: (db) => writeTold(db, records),
      isStored: () => false,
      takeBack: () => {}
    })
  }

  /**
   * Leaves one file with everything in it, unless a reader prevents it, and releases the ledger. `unused`: a new
   * ledger without a chunk isn't needed.
   */
  close(unused = false): void {
    let remove = false
    try {
      // Of a file that isn't in its place, only the mark says what is missing there.
      if (this.lookAtPlace() === undefined) {
        this.#connection.requireToken()
        this.#writeLastSnapshot()
        if (this.#connection.emptyLog()) this.#mark.remove()
        remove = unused && this.isNew && this.#lastChunk === 0
      }
    } catch {
      // Snapshot and checkpoint only make the next start faster: what was acknowledged is in the log.
    } finally {
      this.#mark.close()
      this.#connection.close()
      if (remove) this.#remove()
      this.#lock.close()
    }
  }

  get #held(): Held {
    return { lastChunk: this.#lastChunk, isDrawn: this.#draw !== undefined }
  }

  #writeLastSnapshot(): void {
    if (!this.#standings.isSnapshotBehind) return
    this.#connection.transact({
      before: this.#held,
      work: (db) => this.#standings.writeSnapshot(db, this.#lastChunk, new Map()),
      isStored: () => true,
      takeBack: () => {}
    })
    this.#standings.snapshotTaken(this.#lastChunk)
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
}

/** The token is taken before anything is read: what another process stores after that is not stored. */
const readAll = (db: DatabaseSync, agencies: ReadonlyArray<number>) => {
  const token = takeToken(db)
  const [lottery, beganAt] = [readLottery(db), readBeganAt(db)]
  if (lottery === undefined || beganAt === undefined) throw defect("the ledger has no lottery")
  return {
    token,
    beganAt,
    drawName: lottery.draw,
    standings: new Standings(db, agencies),
    draw: readDraw(db),
    told: readTold(db),
    lastChunk: readLastChunk(db)
  }
}

/** Whether the ledger's chunks after `before` are exactly those of the group. */
const endsWith = (
  db: DatabaseSync,
  before: number,
  group: ReadonlyArray<GroupChunk>
): boolean => {
  if (readLastChunk(db) !== before + group.length) return false
  const find = db.prepare("SELECT agency, seq, checksum FROM chunk WHERE id = ?")
  return group.every(({ agency, bets, body, last, numbers, seq }, index) => {
    const row = find.get(before + index + 1)
    return row?.["agency"] === agency && row["seq"] === seq
      && row["checksum"] === chunkChecksum(agency, seq, last ? 1 : 0, bets, numbers, body)
  })
}
