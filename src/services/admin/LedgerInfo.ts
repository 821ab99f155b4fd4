/** `ledger info`: which lottery a ledger holds, and how far it is. */
import { Effect } from "effect"
import type { LedgerAddress } from "./LedgerAddress.ts"
import { openStored } from "./OpenStored.ts"
import { agenciesOf, type LedgerState } from "./StoredLedger.ts"

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
  /** The names of the other draws in the same database, those that began last first. */
  readonly otherDraws: ReadonlyArray<string>
}

export const ledgerInfo = Effect.fn("LedgerInfo.ledgerInfo")(function*(address: LedgerAddress) {
  const ledger = yield* openStored(address)
  const state = yield* ledger.state("info")
  const otherDraws = yield* ledger.otherDraws("info")
  return { ...infoOf(ledger.name, yield* ledger.bytes("info"), state), otherDraws }
}, Effect.scoped)

const infoOf = (
  path: string,
  bytes: number,
  { held, lottery, standings, told }: LedgerState
): Omit<LedgerInfo, "otherDraws"> => {
  const stored = [...standings.values()]
  return {
    path,
    bytes,
    beganAt: lottery.beganAt,
    drawName: lottery.draw,
    roster: lottery.roster,
    winningNumber: lottery.winningNumber,
    agencies: agenciesOf(lottery).length,
    finished: stored.filter(({ finished }) => finished).length,
    chunks: sum(stored.map(({ seq }) => seq)),
    bets: sum(stored.map(({ bets }) => bets)),
    draw: held && {
      heldAt: held.draw.heldAt,
      winners: sum([...held.winners.values()].map(({ length }) => length))
    },
    told: [...told.values()].filter(({ how }) => how === "confirmed").length
  }
}

const sum = (values: ReadonlyArray<number>): number =>
  values.reduce((total, value) => total + value, 0)
