/** The draw: held once, when every agency of the roster has finished. */
import { Schema } from "effect"
import type { AgencyId } from "./Agency.ts"
import { numberMax } from "./BetRules.ts"

/** The number that wins: an integer 0 to 9999. */
export const WinningNumber = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: numberMax }))
  .pipe(Schema.brand("WinningNumber"))
export type WinningNumber = typeof WinningNumber.Type

/**
 * A draw's name. The central tells it to agencies, so that a client which has delivered bets to one draw doesn't go on with
 * another. It is safe in a file's name, in a log line, and in HTML.
 */
export const DrawName = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, {
  expected:
    "1 to 64 letters, digits, dots, underscores and hyphens, of which the first is a letter or a digit"
})).pipe(Schema.brand("DrawName"))
export type DrawName = typeof DrawName.Type

/** The draw as the ledger keeps it. */
export interface Draw {
  readonly winningNumber: WinningNumber
  /** Documents of each agency's winning bets, one per bet, in the order stored. Agencies without any may be absent. */
  readonly winners: ReadonlyMap<AgencyId, ReadonlyArray<string>>
}

/** That an agency was told its winners. */
export interface ToldRecord {
  readonly agency: number
  /** Whether the agency confirmed it, or the answer was only sent. */
  readonly how: "confirmed" | "sent"
  /** Local time with its offset, ISO 8601. */
  readonly at: string
  readonly address: string
  readonly port: number
  /** It took its winners, or had all the time to: `exitWhenServed` doesn't wait for it any more. */
  readonly served: boolean
}
