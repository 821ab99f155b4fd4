/** The statements that the writer of a ledger runs for every group. */
import type { DatabaseSync, StatementSync } from "node:sqlite"

export interface Statements {
  readonly begin: StatementSync
  readonly commit: StatementSync
  readonly insert: StatementSync
  readonly token: StatementSync
}

export const prepare = (db: DatabaseSync): Statements => ({
  begin: db.prepare("BEGIN IMMEDIATE"),
  commit: db.prepare("COMMIT"),
  // The parser has made the body UTF-8, so its bytes become text unchecked.
  insert: db.prepare(
    "INSERT INTO chunk (id, agency, seq, last, bets, numbers, body, checksum) VALUES (?, ?, ?, ?, ?, ?, CAST(? AS TEXT), ?)"
  ),
  token: db.prepare("SELECT token FROM fence")
})
