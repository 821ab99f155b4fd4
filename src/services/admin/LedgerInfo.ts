/** `ledger info`: which lottery a ledger holds, and how far it is. */
import { Effect } from "effect"
import * as fs from "node:fs"
import type { DatabaseSync } from "node:sqlite"
import { readBeganAt } from "../ledger/sqlite/LotteryTable.ts"
import { readStandings } from "../ledger/sqlite/Standings.ts"
import { readTold } from "../ledger/sqlite/ToldTable.ts"
import { attempt, inTransaction, openLedger } from "./ReadLedger.ts"
import { agenciesOf, readHeldDraw, requireLottery } from "./StoredLottery.ts"

export interface LedgerInfo {
  readonly path: string
  /** With its write-ahead log. */
  readonly bytes: number
  /** UTC, ISO 8601. */
  readonly beganAt: string
  readonly drawName: string
  /** In the notation of the configuration. */
  readonly roster: string
  readonly winningNumber: number
  readonly agencies: number
  readonly finished: number
  readonly chunks: number
  readonly bets: number
  readonly draw: { readonly heldAt: string; readonly winners: number } | undefined
  /** How many agencies have confirmed that they were told their winners. */
  readonly told: number
}

export const ledgerInfo = Effect.fn("LedgerInfo.ledgerInfo")(function*(file: string) {
  const db = yield* openLedger(file)
  return yield* attempt("info", file, () => inTransaction(db, () => readInfo(db, file)))
}, Effect.scoped)

const readInfo = (db: DatabaseSync, file: string): LedgerInfo => {
  const lottery = requireLottery(db)
  const standings = [...readStandings(db).values()]
  const held = readHeldDraw(db)
  return {
    path: file,
    bytes: sizeOf(file) + sizeOf(`${file}-wal`),
    beganAt: readBeganAt(db) ?? "",
    drawName: lottery.draw,
    roster: lottery.roster,
    winningNumber: lottery.winningNumber,
    agencies: agenciesOf(lottery).length,
    finished: standings.filter(({ finished }) => finished).length,
    chunks: sum(standings.map(({ seq }) => seq)),
    bets: sum(standings.map(({ bets }) => bets)),
    draw: held && {
      heldAt: held.draw.heldAt,
      winners: sum([...held.winners.values()].map(({ length }) => length))
    },
    told: [...readTold(db).values()].filter(({ how }) => how === "confirmed").length
  }
}

const sum = (values: ReadonlyArray<number>): number =>
  values.reduce((total, value) => total + value, 0)

const sizeOf = (file: string): number => fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0
