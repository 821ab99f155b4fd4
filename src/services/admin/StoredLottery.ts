/** Which lottery a ledger holds, and whether its draw was held. */
import { Option } from "effect"
import type { DatabaseSync } from "node:sqlite"
import { parseRoster } from "../../domain/Agency.ts"
import { agenciesCeiling } from "../../domain/Limits.ts"
import { type DrawRecord, readDraw, readHeldAt } from "../ledger/sqlite/DrawTable.ts"
import { unreadable } from "../ledger/sqlite/LedgerProblem.ts"
import { type LotteryRecord, readLottery } from "../ledger/sqlite/LotteryTable.ts"
import { nothingBegun } from "../ledger/sqlite/OpenLedger.ts"

export interface HeldDraw {
  readonly winningNumber: number
  /** UTC, ISO 8601. */
  readonly heldAt: string
}

/** The lottery of a ledger that has begun. */
export const requireLottery = (db: DatabaseSync): LotteryRecord => {
  const lottery = readLottery(db)
  if (lottery === undefined) throw unreadable(nothingBegun)
  return lottery
}

/** The agencies of the roster, in its order; none when the roster can't be read. */
export const agenciesOf = (lottery: LotteryRecord): ReadonlyArray<number> =>
  Option.getOrElse(parseRoster(lottery.roster, agenciesCeiling), () => [])

/** The draw, and the documents of its winners by agency, as the agencies are told them. */
export const readHeldDraw = (
  db: DatabaseSync
): { readonly draw: HeldDraw; readonly winners: DrawRecord["winners"] } | undefined => {
  const heldAt = readHeldAt(db)
  const held = readDraw(db)
  return heldAt === undefined || held === undefined
    ? undefined
    : { draw: { winningNumber: held.winningNumber, heldAt }, winners: held.winners }
}
