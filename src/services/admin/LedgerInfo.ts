/** `ledger info`: which lottery a ledger holds, and how far it is. */
import { Effect } from "effect"
import * as fs from "node:fs"
import type { DatabaseSync } from "node:sqlite"
import { integer, text } from "../ledger/sqlite/Columns.ts"
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
  const sums = db.prepare(
    "SELECT coalesce(sum(seq), 0) AS chunks, coalesce(sum(bets), 0) AS bets, "
      + "coalesce(sum(finished), 0) AS finished FROM agency"
  ).get()
  const draw = readHeldDraw(db)
  return {
    path: file,
    bytes: sizeOf(file) + sizeOf(`${file}-wal`),
    beganAt: text(db.prepare("SELECT began_at FROM lottery").get(), "began_at"),
    drawName: lottery.draw,
    roster: lottery.roster,
    winningNumber: lottery.winningNumber,
    agencies: agenciesOf(lottery).length,
    finished: integer(sums, "finished"),
    chunks: integer(sums, "chunks"),
    bets: integer(sums, "bets"),
    draw: draw && {
      heldAt: draw.heldAt,
      winners: integer(db.prepare("SELECT count(*) AS winners FROM winner").get(), "winners")
    },
    told: [...readTold(db).values()].filter(({ how }) => how === "confirmed").length
  }
}

const sizeOf = (file: string): number => fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0
