/** `results`: what a ledger holds of each agency, and the draw if it was held. */
import { Effect } from "effect"
import type { DatabaseSync } from "node:sqlite"
import type { ToldRecord } from "../../domain/Draw.ts"
import { nothingStored } from "../../domain/Standing.ts"
import { readStandings } from "../ledger/sqlite/Standings.ts"
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

const readResults = (db: DatabaseSync): LedgerResults => {
  const lottery = requireLottery(db)
  const held = readHeldDraw(db)
  const standings = readStandings(db)
  const told = readTold(db)
  const agencies = agenciesOf(lottery).map((agency): AgencyResult => {
    const { bets, finished, seq } = standings.get(agency) ?? nothingStored
    return {
      agency,
      bets,
      chunks: seq,
      finished,
      winners: held && (held.winners.get(agency)?.length ?? 0),
      told: withoutAgency(told.get(agency))
    }
  })
  return { drawName: lottery.draw, agencies, draw: held?.draw }
}

const withoutAgency = (told: ToldRecord | undefined): AgencyResult["told"] =>
  told && { how: told.how, at: told.at, address: told.address, port: told.port }
