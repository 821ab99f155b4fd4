/** What a ledger knows of each agency, as the snapshot and the chunks after it say. */
import type { DatabaseSync } from "node:sqlite"
import type { Standing } from "../../../domain/Intake.ts"
import { damaged, rowChecksum } from "./Checksum.ts"
import { integer } from "./OpenLedger.ts"

/** Of the agencies that have sent. */
export const readStandings = (db: DatabaseSync): ReadonlyMap<number, Standing> => {
  const standings = new Map<number, Standing>()
  for (
    const row of db.prepare("SELECT agency, seq, bets, finished, checksum FROM snapshot").iterate()
  ) {
    const agency = integer(row, "agency")
    const columns = [integer(row, "seq"), integer(row, "bets"), integer(row, "finished")]
    if (row["checksum"] !== rowChecksum(agency, ...columns)) {
      throw damaged(`what is known of agency ${agency} is not what was stored`)
    }
  }
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
