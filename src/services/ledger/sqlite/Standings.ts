/** What a ledger knows of each agency, as the snapshot and the chunks after it say. */
import type { DatabaseSync } from "node:sqlite"
import type { Standing } from "../../../domain/Intake.ts"
import { integer } from "./Columns.ts"
import { damaged } from "./LedgerProblem.ts"
import { readSnapshot } from "./SnapshotTable.ts"

/** Of the agencies that have sent. */
export const readStandings = (db: DatabaseSync): ReadonlyMap<number, Standing> => {
  const standings = new Map<number, Standing>()
  // The view below is computed from the snapshot, which has to be what was stored.
  readSnapshot(db)
  for (const row of db.prepare("SELECT agency, seq, rows, bets, finished FROM agency").iterate()) {
    const seq = integer(row, "seq")
    if (integer(row, "rows") !== seq) {
      throw damaged(`the chunks of agency ${integer(row, "agency")} have gaps`)
    }
    standings.set(integer(row, "agency"), {
      seq,
      bets: integer(row, "bets"),
      finished: integer(row, "finished") === 1
    })
  }
  return standings
}
