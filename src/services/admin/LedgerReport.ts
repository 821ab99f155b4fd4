/**
 * What operators ask a ledger's file, for reading only and also while a server writes to it. Creates and changes
 * nothing. Every transaction is short, however slowly the answer is taken: an open one would keep the server's
 * write-ahead log from being emptied.
 */
import { Effect, Option } from "effect"
import type { DatabaseSync } from "node:sqlite"
import { parseRoster } from "../../domain/Agency.ts"
import { agenciesCeiling } from "../../domain/Limits.ts"
import type { ToldRecord } from "../ledger/BetLedger.ts"
import { integer, text } from "../ledger/sqlite/Columns.ts"
import { readLottery } from "../ledger/sqlite/LotteryTable.ts"
import { readTold } from "../ledger/sqlite/ToldTable.ts"
import { attempt, inTransaction, open } from "./ReadLedger.ts"

/** What the ledger holds of one agency of the roster. */
export interface AgencyResult {
  readonly agency: number
  readonly bets: number
  readonly chunks: number
  readonly finished: boolean
  /** How many of its bets have won; undefined until the draw. */
  readonly winners: number | undefined
  /** How, when and by which connection it was told its winners, as far as the ledger knows. */
  readonly told: Omit<ToldRecord, "agency"> | undefined
}

export interface LedgerResults {
  readonly drawName: string
  /** In the order of the roster. */
  readonly agencies: ReadonlyArray<AgencyResult>
  /** `heldAt` is UTC, ISO 8601. */
  readonly draw: { readonly winningNumber: number; readonly heldAt: string } | undefined
}

/** The table of the agencies, and the draw if it was held. */
export const results = Effect.fn("LedgerReport.results")(function*(path: string) {
  const db = yield* open(path)
  return yield* attempt("results", path, () => inTransaction(db, () => readResults(db)))
}, Effect.scoped)

const nothing = { bets: 0, chunks: 0, finished: false }

const readResults = (db: DatabaseSync): LedgerResults => {
  const lottery = readLottery(db)
  const roster = Option.getOrElse(
    parseRoster(lottery?.roster ?? "", agenciesCeiling),
    () => []
  )
  const drawRow = db.prepare("SELECT winning_number, held_at FROM draw").get()
  const draw = drawRow && {
    winningNumber: integer(drawRow, "winning_number"),
    heldAt: text(drawRow, "held_at")
  }
  const winners = new Map<number, number>()
  for (
    const row of db.prepare("SELECT agency, count(*) AS bets FROM winner GROUP BY agency").iterate()
  ) {
    winners.set(integer(row, "agency"), integer(row, "bets"))
  }
  const sent = new Map<number, typeof nothing>()
  for (const row of db.prepare("SELECT agency, seq, bets, finished FROM agency").iterate()) {
    sent.set(integer(row, "agency"), {
      bets: integer(row, "bets"),
      chunks: integer(row, "seq"),
      finished: integer(row, "finished") === 1
    })
  }
  const told = new Map(
    [...readTold(db)].map(([agency, { address, at, how, port }]) =>
      [
        agency,
        { how, at, address, port }
      ] as const
    )
  )
  const agencies = roster.map((agency): AgencyResult => {
    const { bets, chunks, finished } = sent.get(agency) ?? nothing
    const won = draw === undefined ? undefined : winners.get(agency) ?? 0
    return { agency, bets, chunks, finished, winners: won, told: told.get(agency) }
  })
  return { drawName: lottery?.draw ?? "", agencies, draw }
}
