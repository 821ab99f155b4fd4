/** What a ledger says about itself besides its chunks, and whether its chunks agree. */
import type { DatabaseSync } from "node:sqlite"
import type { ToldRecord } from "../../domain/Draw.ts"
import { nothingStored, type Standing } from "../../domain/Standing.ts"
import { readLastChunk } from "../ledger/sqlite/ChunkTable.ts"
import { integer } from "../ledger/sqlite/Columns.ts"
import { type DrawRecord, readDraw } from "../ledger/sqlite/DrawTable.ts"
import { readLottery } from "../ledger/sqlite/LotteryTable.ts"
import { readSnapshot, readSnapshotEnd } from "../ledger/sqlite/SnapshotTable.ts"
import { readTold } from "../ledger/sqlite/ToldTable.ts"
import { agenciesOf } from "./StoredLottery.ts"

export interface Claims {
  readonly roster: ReadonlySet<number>
  readonly winningNumber: number
  readonly lastChunk: number
  readonly snapshotEnd: number
  readonly snapshot: ReadonlyMap<number, Standing>
  readonly draw: DrawRecord | undefined
  readonly told: ReadonlyMap<number, ToldRecord>
  readonly winnerRows: number
}

/** What was found in the chunks. */
export interface Found {
  readonly lastRow: number
  readonly standings: ReadonlyMap<number, Standing>
  readonly winners: ReadonlyMap<number, ReadonlyArray<string>>
}

type Add = (problem: string) => void

/** In one transaction. `add` is called for each row that isn't what was stored. */
export const readClaims = (db: DatabaseSync, add: Add): Claims => {
  const lottery = readLottery(db, add)
  const roster = lottery === undefined ? [] : agenciesOf(lottery)
  if (roster.length === 0) add("the ledger doesn't say which lottery it belongs to")
  return {
    roster: new Set(roster),
    winningNumber: lottery?.winningNumber ?? -1,
    lastChunk: readLastChunk(db),
    snapshotEnd: readSnapshotEnd(db),
    snapshot: readSnapshot(db, add),
    draw: readDraw(db, add),
    told: readTold(db, add),
    winnerRows: integer(db.prepare("SELECT count(*) AS rows FROM winner").get(), "rows")
  }
}

/** `found` must be of the chunks that the snapshot covers. */
export const compareSnapshot = (
  { snapshot, snapshotEnd }: Claims,
  { lastRow, standings }: Found,
  add: Add
): void => {
  if (snapshotEnd > lastRow) {
    add(`the snapshot covers chunk rows up to ${snapshotEnd}, the last is ${lastRow}`)
  }
  for (const agency of new Set([...snapshot.keys(), ...standings.keys()])) {
    const said = standingText(snapshot.get(agency) ?? nothingStored)
    const there = standingText(standings.get(agency) ?? nothingStored)
    if (said !== there) add(`agency ${agency}: the snapshot says ${said}, there are ${there}`)
  }
}

const standingText = ({ bets, finished, seq }: Standing): string =>
  `${bets} bets in ${seq} chunks${finished ? ", finished" : ""}`

/** `found` must be of all chunks. */
export const compareDraw = (claims: Claims, found: Found, add: Add): void => {
  const { draw, roster, told, winnerRows, winningNumber } = claims
  for (const agency of told.keys()) {
    if (!roster.has(agency)) add(`agency ${agency} was told winners, and is not in the roster`)
  }
  if (draw === undefined) {
    if (told.size > 0) add("agencies were told their winners without a draw")
    if (winnerRows > 0) add("there are winners without a draw")
    return
  }
  if (draw.winningNumber !== winningNumber) {
    add(`the draw was held with ${draw.winningNumber}, the ledger began with ${winningNumber}`)
  }
  for (const agency of roster) {
    if (found.standings.get(agency)?.finished !== true) {
      add(`the draw was held, and agency ${agency} has not finished`)
    }
  }
  for (const agency of new Set([...draw.winners.keys(), ...found.winners.keys()])) {
    const said = draw.winners.get(agency) ?? []
    const there = found.winners.get(agency) ?? []
    if (said.length !== there.length || said.some((document, index) => document !== there[index])) {
      add(
        `agency ${agency}: its ${said.length} stored winners are not the ${there.length} of its bets`
      )
    }
  }
}
