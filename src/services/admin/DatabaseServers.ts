/** Whether servers use a database. */
import { Effect, Schedule, Schema } from "effect"
import type { PostgresUrl } from "../base/PostgresUrl.ts"
import { text } from "../ledger/postgres/Columns.ts"
import { notOpened } from "../ledger/postgres/SqlFailures.ts"
import { connectDatabase, type Database } from "./DatabaseReader.ts"

/** Servers use a database that a command needs for itself. */
export class ServersRunning extends Schema.TaggedError<ServersRunning>()("ServersRunning", {
  path: Schema.String,
  servers: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const more = this.servers.length - namedMax
    return `${this.path}: servers are connected to this database: ${
      this.servers.slice(0, namedMax).join(", ")
    }${
      more > 0 ? ` and ${more} more` : ""
    }; stop them all, also those of other draws, and run the same command again`
  }
}

/** More than this are counted. */
const namedMax = 20

/** What they call themselves in the log, each once. `operation` is for messages. */
const connectedServers = ({ links }: Database, operation: string) =>
  links.use(operation, (connection) =>
    Effect.map(
      connection.query(
        `SELECT DISTINCT substr(application_name, 9) AS server FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'loteria %' ORDER BY server`
      ),
      ({ rows }) => rows.map((row) => text(row, "server"))
    ))

/** Sessions end a little after their server. */
const again = { schedule: Schedule.spaced(100), times: 20 }

/** Fails while servers are connected to the database, whichever draw they serve. */
export const requireNoServers = (database: Database, operation: string) => {
  const check = Effect.flatMap(
    connectedServers(database, operation),
    (servers) =>
      servers.length === 0
        ? Effect.void
        : Effect.fail(new ServersRunning({ path: database.name, servers }))
  )
  return Effect.retry(check, { ...again, while: ({ _tag }) => _tag === "ServersRunning" })
}

/** The same of a database that isn't open yet. */
export const requireNoServersAt = Effect.fnUntraced(function*(url: PostgresUrl, operation: string) {
  const database = yield* connectDatabase(url)
  yield* requireNoServers(database, operation).pipe(
    Effect.catchTag("LedgerUnavailable", notOpened(database.name))
  )
}, Effect.scoped)
