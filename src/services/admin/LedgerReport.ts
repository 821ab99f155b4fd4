/** `results`: what a ledger holds of each agency, and the draw if it was held. */
import { Effect } from "effect"
import type { DatabaseSync } from "node:sqlite"
import type { ToldRecord } from "../ledger/BetLedger.ts"
import { integer } from "../ledger/sqlite/Columns.ts"
import { readTold } from "../ledger/sqlite/ToldTable.ts"
import { attempt, inTransaction, openLedger } from "./ReadLedger.ts"
import { agenciesOf, type HeldDraw, readHeldDraw, requireLottery } from "./StoredLottery.ts"

/** What the ledger holds of one agency of the roster. */
export interface AgencyResult {
  readonly agency: number
  readonly bets: number
  readonly chunks: number
  readonly finished: boolean
  /** How many of its bets have won; undefined until the draw. */
  readonly winners: number | undefined
  /** How, when and on which connection it was told its winners, as far as the ledger knows. */
  readonly told: Omit<ToldRecord, "agency"> | undefined
}

export interface LedgerResults {
  readonly drawName: string
  /** In the order of the roster. */
  readonly agencies: ReadonlyArray<AgencyResult>
  readonly draw: HeldDraw | undefined
}

export const results = Effect.fn("LedgerReport.results")(function*(file: string) {
  const db = yield* openLedger(file)
  return yield* attempt("results", file, () => inTransaction(db, () => readResults(db)))
}, Effect.scoped)

const nothingSent = { bets: 0, chunks: 0, finished: false }

const readResults = (db: DatabaseSync): LedgerResults => {
  const lottery = requireLottery(db)
  const draw = readHeldDraw(db)
  const sent = readSent(db)
  const winners = readWinnerCounts(db)
  const told = readTold(db)
  const agencies = agenciesOf(lottery).map((agency): AgencyResult => {
    const { bets, chunks, finished } = sent.get(agency) ?? nothingSent
    const won = draw === undefined ? undefined : winners.get(agency) ?? 0
    return { agency, bets, chunks, finished, winners: won, told: withoutAgency(told.get(agency)) }
  })
  return { drawName: lottery.draw, agencies, draw }
}

const readSent = (db: DatabaseSync): ReadonlyMap<number, typeof nothingSent> => {
  const rows = db.prepare("SELECT agency, seq, bets, finished FROM agency").all()
  return new Map(rows.map((row) => [
    integer(row, "agency"),
    {
      bets: integer(row, "bets"),
      chunks: integer(row, "seq"),
      finished: integer(row, "finished") === 1
    }
  ]))
}

const readWinnerCounts = (db: DatabaseSync): ReadonlyMap<number, number> => {
  const rows = db.prepare("SELECT agency, count(*) AS bets FROM winner GROUP BY agency").all()
  return new Map(rows.map((row) => [integer(row, "agency"), integer(row, "bets")]))
}

const withoutAgency = (told: ToldRecord | undefined): AgencyResult["told"] =>
  told && { how: told.how, at: told.at, address: told.address, port: told.port }
