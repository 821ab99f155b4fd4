/** `results`: what a ledger holds of each agency, and the draw if it was held. */
import { Effect } from "effect"
import type { ToldRecord } from "../../domain/Draw.ts"
import { nothingStored } from "../../domain/Standing.ts"
import type { LedgerAddress } from "./LedgerAddress.ts"
import { openStored } from "./OpenStored.ts"
import { agenciesOf, type HeldDraw, type LedgerState } from "./StoredLedger.ts"

/** What the ledger holds of one agency of the roster. */
export interface AgencyResult {
  readonly agency: number
  readonly bets: number
  readonly chunks: number
  readonly finished: boolean
  /** How many of its bets have won; undefined until the draw. */
  readonly winners: number | undefined
  /** How, when and on which connection it was told its winners, as far as the ledger knows. */
  readonly told: Omit<ToldRecord, "agency" | "served"> | undefined
}

export interface LedgerResults {
  readonly drawName: string
  /** In the order of the roster. */
  readonly agencies: ReadonlyArray<AgencyResult>
  readonly draw: HeldDraw | undefined
}

export const results = Effect.fn("LedgerReport.results")(function*(address: LedgerAddress) {
  const ledger = yield* openStored(address)
  return resultsOf(yield* ledger.state("results"))
}, Effect.scoped)

const resultsOf = ({ held, lottery, standings, told }: LedgerState): LedgerResults => {
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
