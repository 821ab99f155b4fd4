/** A ledger in an SQLite file, for reports. Each read opens the file anew, and does not change it. */
import { Effect } from "effect"
import * as fs from "node:fs"
import type { DatabaseSync } from "node:sqlite"
import { LedgerUnreadable } from "../ledger/BetLedger.ts"
import { readDraw, readHeldAt } from "../ledger/sqlite/DrawTable.ts"
import { damageProblem, unreadable } from "../ledger/sqlite/LedgerProblem.ts"
import { readBeganAt, readLottery } from "../ledger/sqlite/LotteryTable.ts"
import { nothingBegun } from "../ledger/sqlite/OpenLedger.ts"
import { readStandings } from "../ledger/sqlite/Standings.ts"
import { readTold } from "../ledger/sqlite/ToldTable.ts"
import { chunksByAgency } from "./FileChunks.ts"
import { attempt, inTransaction, openLedger } from "./ReadLedger.ts"
import type { HeldWinners, LedgerState, StoredLedger } from "./StoredLedger.ts"

export const fileLedger = (file: string): StoredLedger => ({
  name: file,
  state: (operation) =>
    Effect.scoped(
      Effect.flatMap(
        openLedger(file),
        (db) => attempt(operation, file, () => inTransaction(db, () => readState(db)))
      )
    ),
  otherDraws: () => Effect.succeed([]),
  // With its write-ahead log.
  bytes: (operation) => attempt(operation, file, () => sizeOf(file) + sizeOf(`${file}-wal`)),
  chunks: (operation) => chunksByAgency(operation, file),
  damaged: (what) => new LedgerUnreadable({ path: file, problem: damageProblem(what) })
})

const readState = (db: DatabaseSync): LedgerState => {
  const lottery = readLottery(db)
  if (lottery === undefined) throw unreadable(nothingBegun)
  return {
    lottery: { ...lottery, beganAt: readBeganAt(db) ?? "" },
    standings: readStandings(db),
    held: readHeldDraw(db),
    told: readTold(db)
  }
}

const readHeldDraw = (db: DatabaseSync): HeldWinners | undefined => {
  const heldAt = readHeldAt(db)
  const held = readDraw(db)
  return heldAt === undefined || held === undefined
    ? undefined
    : { draw: { winningNumber: held.winningNumber, heldAt }, winners: held.winners }
}

const sizeOf = (file: string): number => fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0
