/**
 * The standings of agencies: read from the snapshot and the chunks after it, and kept by the writer, which refuses what
 * would break the count, whatever its caller decided.
 */
import type { DatabaseSync } from "node:sqlite"
import { sizesAgree } from "../../../domain/BetRecord.ts"
import { nothingStored, type Standing } from "../../../domain/Standing.ts"
import { integer } from "./Columns.ts"
import type { GroupChunk } from "./GroupBuffer.ts"
import { damaged, defect } from "./LedgerProblem.ts"
import { readSnapshot, readSnapshotEnd, writeSnapshot } from "./SnapshotTable.ts"

/** Of the agencies that have sent. */
export const readStandings = (db: DatabaseSync): ReadonlyMap<number, Standing> => {
  const standings = new Map<number, Standing>()
  // The view below is computed from the snapshot, which has to be what was stored.
  readSnapshot(db)
  for (const row of db.prepare("SELECT agency, seq, rows, bets, finished FROM agency").iterate()) {
    const seq = integer(row, "seq")
    if (integer(row, "rows") !== seq) {
      throw damaged(`the chunks of agency ${integer(row, "agency")} have gaps`)
    }
    standings.set(integer(row, "agency"), {
      seq,
      bets: integer(row, "bets"),
      finished: integer(row, "finished") === 1
    })
  }
  return standings
}

export class Standings {
  readonly #standings = new Map<number, Standing>()
  /** The last chunk that the snapshot covers, and the agencies that have sent since. */
  #snapshotEnd: number
  readonly #changed = new Set<number>()

  constructor(db: DatabaseSync, roster: ReadonlyArray<number>) {
    for (const agency of roster) this.#standings.set(agency, nothingStored)
    for (const [agency, standing] of readStandings(db)) this.#standings.set(agency, standing)
    this.#snapshotEnd = readSnapshotEnd(db)
    const since = db.prepare("SELECT DISTINCT agency FROM chunk WHERE id > ?")
    for (const row of since.iterate(this.#snapshotEnd)) this.#changed.add(integer(row, "agency"))
  }

  /** Of every agency of the roster. */
  get all(): ReadonlyMap<number, Standing> {
    return this.#standings
  }

  /** The standings of the group's agencies once it is stored. Refuses what would break the count. */
  after(group: ReadonlyArray<GroupChunk>): ReadonlyMap<number, Standing> {
    const after = new Map<number, Standing>()
    for (const { agency, bets, body, last, numbers, seq } of group) {
      const known = after.get(agency) ?? this.#standings.get(agency)
      if (known === undefined) throw defect(`agency ${agency} is not in the roster`)
      if (known.finished) throw defect(`chunk ${seq} came after agency ${agency} had finished`)
      if (seq !== known.seq + 1) {
        throw defect(`chunk ${seq} of agency ${agency} came after chunk ${known.seq}`)
      }
      if (!sizesAgree(bets, numbers, body)) {
        throw defect(`chunk ${seq} of agency ${agency} is not as long as its ${bets} bets`)
      }
      after.set(agency, { seq, bets: known.bets + bets, finished: last })
    }
    return after
  }

  /** A group is stored; `after` is what {@link Standings.after} gave for it. */
  settle(after: ReadonlyMap<number, Standing>): void {
    for (const [agency, standing] of after) {
      this.#standings.set(agency, standing)
      this.#changed.add(agency)
    }
  }

  /** How many chunks a start would have to read, beside the snapshot, if `lastChunk` were the last one. */
  chunksSinceSnapshot(lastChunk: number): number {
    return lastChunk - this.#snapshotEnd
  }

  /** Whether agencies have sent since the snapshot. */
  get isSnapshotBehind(): boolean {
    return this.#changed.size > 0
  }

  /** In a transaction: brings the snapshot up to date with `after`, and else with what is known. */
  writeSnapshot(db: DatabaseSync, lastChunk: number, after: ReadonlyMap<number, Standing>): void {
    const changed = new Map<number, Standing>()
    for (const agency of this.#changed) changed.set(agency, this.#known(agency))
    for (const [agency, standing] of after) changed.set(agency, standing)
    writeSnapshot(db, lastChunk, changed)
  }

  /** In a transaction: the same, after the group of `after` was taken back. */
  takeSnapshotBack(
    db: DatabaseSync,
    lastChunk: number,
    after: ReadonlyMap<number, Standing>
  ): void {
    const known = [...after.keys()].map((agency) => [agency, this.#known(agency)] as const)
    this.writeSnapshot(db, lastChunk, new Map(known))
  }

  /** The snapshot with everything up to `lastChunk` is stored. */
  snapshotTaken(lastChunk: number): void {
    this.#snapshotEnd = lastChunk
    this.#changed.clear()
  }

  #known(agency: number): Standing {
    return this.#standings.get(agency) ?? nothingStored
  }
}
