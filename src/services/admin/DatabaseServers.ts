/** Whether servers use a database. */
import { Effect, Schedule, Schema } from "effect"
import type { PostgresUrl } from "../base/PostgresUrl.ts"
import { integer } from "../ledger/postgres/Columns.ts"
import { notOpened } from "../ledger/postgres/SqlFailures.ts"
import { connectDatabase, type Database } from "./DatabaseReader.ts"

/** Servers use a database that a command needs for itself. */
export class ServersRunning extends Schema.TaggedError<ServersRunning>()("ServersRunning", {
  path: Schema.String,
  sessions: Schema.Int
}) {
  override get message(): string {
    return `${this.path}: servers use it, with ${this.sessions} sessions (pg_stat_activity names them); stop all its `
      + "servers, and run the same command again"
  }
}

/** Their sessions. `operation` is for messages. */
export const countServers = ({ links }: Database, operation: string) =>
  links.use(operation, (connection) =>
    Effect.map(
      connection.query(
        `SELECT count(*) AS servers FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'loteria %'`
      ),
      ({ rows: [row] }) => integer(row, "servers")
    ))

/** Sessions end a little after their server. */
const again = { schedule: Schedule.spaced(100), times: 20 }

export const requireNoServers = Effect.fnUntraced(function*(url: PostgresUrl, operation: string) {
  const database = yield* connectDatabase(url)
  const count = countServers(database, operation).pipe(
    Effect.catchTag("LedgerUnavailable", notOpened(database.name))
  )
  const check = Effect.flatMap(count, (sessions) =>
    sessions === 0
      ? Effect.void
      : Effect.fail(new ServersRunning({ path: database.name, sessions })))
  yield* Effect.retry(check, { ...again, while: ({ _tag }) => _tag === "ServersRunning" })
}, Effect.scoped)
