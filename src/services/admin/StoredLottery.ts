/** Which lottery a ledger holds, and whether its draw was held. */
import { Option } from "effect"
import type { DatabaseSync } from "node:sqlite"
import { parseRoster } from "../../domain/Agency.ts"
import { agenciesCeiling } from "../../domain/Limits.ts"
import { integer, text } from "../ledger/sqlite/Columns.ts"
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

export const readHeldDraw = (db: DatabaseSync): HeldDraw | undefined => {
  const row = db.prepare("SELECT winning_number, held_at FROM draw").get()
  return row && { winningNumber: integer(row, "winning_number"), heldAt: text(row, "held_at") }
}
