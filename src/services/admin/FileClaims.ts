/** What a ledger's file says about itself besides its chunks, and whether its snapshot agrees with them. */
import type { DatabaseSync } from "node:sqlite"
import { nothingStored, type Standing } from "../../domain/Standing.ts"
import { readLastChunk } from "../ledger/sqlite/ChunkTable.ts"
import { integer } from "../ledger/sqlite/Columns.ts"
import { readDraw } from "../ledger/sqlite/DrawTable.ts"
import { readLottery } from "../ledger/sqlite/LotteryTable.ts"
import { readSnapshot, readSnapshotEnd } from "../ledger/sqlite/SnapshotTable.ts"
import { readTold } from "../ledger/sqlite/ToldTable.ts"
import type { AddProblem, Claims, Found } from "./DrawCheck.ts"
import { agenciesOf } from "./StoredLedger.ts"

export interface FileClaims extends Claims {
  readonly lastChunk: number
  readonly snapshotEnd: number
  readonly snapshot: ReadonlyMap<number, Standing>
}

/** In one transaction. `add` is called for each row that isn't what was stored. */
export const readClaims = (db: DatabaseSync, add: AddProblem): FileClaims => {
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

/** `lastRow` and `standings` must be of the chunks that the snapshot covers. */
export const compareSnapshot = (
  { snapshot, snapshotEnd }: FileClaims,
  lastRow: number,
  standings: Found["standings"],
  add: AddProblem
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
