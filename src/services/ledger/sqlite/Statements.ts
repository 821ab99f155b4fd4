/** What the writer of a ledger runs again and again. */
import type { DatabaseSync, StatementSync } from "node:sqlite"

export interface Statements {
  readonly begin: StatementSync
  readonly commit: StatementSync
  readonly insert: StatementSync
  readonly lastChunk: StatementSync
  readonly token: StatementSync
  readonly snapshot: StatementSync
  readonly snapshotEnd: StatementSync
}

export const prepare = (db: DatabaseSync): Statements => ({
  begin: db.prepare("BEGIN IMMEDIATE"),
  commit: db.prepare("COMMIT"),
  // The body comes as bytes that the parser made UTF-8, and becomes text without a look at it.
  insert: db.prepare(
    "INSERT INTO chunk (id, agency, seq, last, bets, numbers, body, checksum) VALUES (?, ?, ?, ?, ?, ?, CAST(? AS TEXT), ?)"
  ),
  lastChunk: db.prepare("SELECT coalesce(max(id), 0) AS id FROM chunk"),
  token: db.prepare("SELECT token FROM fence"),
  snapshot: db.prepare(
    "INSERT OR REPLACE INTO snapshot (agency, seq, bets, finished, checksum) VALUES (?, ?, ?, ?, ?)"
  ),
  snapshotEnd: db.prepare("UPDATE snapshot_end SET chunk = ?")
})
