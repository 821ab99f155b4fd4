/** The table `snapshot`: what was known of each agency up to a certain chunk, so that a start needn't read all chunks. */
import type { DatabaseSync } from "node:sqlite"
import type { Standing } from "../../../domain/Standing.ts"
import { rowChecksum } from "../RowChecksum.ts"
import { integer } from "./Columns.ts"
import { refuseDamage } from "./LedgerProblem.ts"

/** The agencies in the snapshot; `onDamage` is called where one isn't what was stored. */
export const readSnapshot = (
  db: DatabaseSync,
  onDamage: (problem: string) => void = refuseDamage
): ReadonlyMap<number, Standing> => {
  const snapshot = new Map<number, Standing>()
  const rows = db.prepare("SELECT agency, seq, bets, finished, checksum FROM snapshot")
  for (const row of rows.iterate()) {
    const agency = integer(row, "agency")
    const [seq, bets, finished] = [
      integer(row, "seq"),
      integer(row, "bets"),
      integer(row, "finished")
    ]
    if (row["checksum"] !== rowChecksum(agency, seq, bets, finished)) {
      onDamage(`agency ${agency}: what the snapshot says is not what was stored`)
    }
    snapshot.set(agency, { seq, bets, finished: finished === 1 })
  }
  return snapshot
}

/** The row id of the last chunk that the snapshot covers. */
export const readSnapshotEnd = (db: DatabaseSync): number =>
  integer(db.prepare("SELECT chunk FROM snapshot_end").get(), "chunk")

/** Brings these agencies up to date, in the transaction that stores `lastChunk` or after it. */
export const writeSnapshot = (
  db: DatabaseSync,
  lastChunk: number,
  standings: Iterable<readonly [agency: number, standing: Standing]>
): void => {
  const write = db.prepare(
    "INSERT OR REPLACE INTO snapshot (agency, seq, bets, finished, checksum) VALUES (?, ?, ?, ?, ?)"
  )
  for (const [agency, { bets, finished, seq }] of standings) {
    const mark = finished ? 1 : 0
    write.run(agency, seq, bets, mark, rowChecksum(agency, seq, bets, mark))
  }
  db.prepare("UPDATE snapshot_end SET chunk = ?").run(lastChunk)
}
