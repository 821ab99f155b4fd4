/** The draw: held once, when every agency of the roster has finished. */
import { Schema } from "effect"
import type { AgencyId } from "./Agency.ts"
import { numberMax } from "./BetRules.ts"

/** The number that wins: an integer 0 to 9999. */
export const WinningNumber = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: numberMax }))
  .pipe(Schema.brand("WinningNumber"))
export type WinningNumber = typeof WinningNumber.Type

/** The draw as the ledger keeps it. */
export interface Draw {
  readonly winningNumber: WinningNumber
  /** Documents of each agency's winning bets, one per bet, in the order stored. Agencies without any may be absent. */
  readonly winners: ReadonlyMap<AgencyId, ReadonlyArray<string>>
}
