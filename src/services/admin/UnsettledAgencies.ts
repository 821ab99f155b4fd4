/** Which agencies would lose something if their ledger were put aside. */
import type { DatabaseSync } from "node:sqlite"
import type { Standing } from "../../domain/Standing.ts"
import type { LotteryRecord } from "../ledger/sqlite/LotteryTable.ts"
import { readTold } from "../ledger/sqlite/ToldTable.ts"
import { agenciesOf } from "./StoredLottery.ts"

/** Before the draw: agencies that have finished, and wait for a draw that won't be held. */
export const finishedAgencies = (
  standings: ReadonlyMap<number, Standing>
): ReadonlyArray<string> => {
  const finished = [...standings].flatMap(([agency, standing]) => standing.finished ? [agency] : [])
  return reason(
    finished.toSorted((a, b) => a - b),
    "finished without a bet, and would have to finish again"
  )
}

/** After the draw: agencies that may not know their winners. */
export const untoldAgencies = (
  db: DatabaseSync,
  lottery: LotteryRecord
): ReadonlyArray<string> => {
  const roster = agenciesOf(lottery)
  const told = readTold(db)
  return [
    ...reason(
      roster.filter((agency) => !told.has(agency)),
      "not known to have been told the winners"
    ),
    ...reason(
      roster.filter((agency) => told.get(agency)?.how === "sent"),
      "sent the winners, but their receipt is not confirmed"
    )
  ]
}

const reason = (agencies: ReadonlyArray<number>, problem: string): ReadonlyArray<string> =>
  agencies.length === 0 ? [] : [`${named(agencies)}: ${problem}`]

/** More than this are counted. */
const namedMax = 20

const named = (agencies: ReadonlyArray<number>): string => {
  const [first, ...others] = agencies
  if (others.length === 0) return `agency ${first}`
  const more = agencies.length - namedMax
  return `agencies ${agencies.slice(0, namedMax).join(", ")}${more > 0 ? ` and ${more} more` : ""}`
}
