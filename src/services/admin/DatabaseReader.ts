/**
 * Opens a database of lotteries for a command that works without the central. Servers may be writing to it, so reads are
 * short: an open snapshot would keep PostgreSQL from cleaning up behind them. A standby can be read as well.
 */
import type { PgConnection } from "@effect/sql-pg/PgConnection"
import { Effect, type Scope } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { type PostgresUrl, showPostgresUrl } from "../base/PostgresUrl.ts"
import { type LedgerUnavailable, LedgerUnreadable } from "../ledger/BetLedger.ts"
import { type LinkOptions, LinkPool } from "../ledger/postgres/Links.ts"
import { requireTables } from "../ledger/postgres/Migrations.ts"
import { failSql, notOpened } from "../ledger/postgres/SqlFailures.ts"

export interface Database {
  /** The URL without its password. */
  readonly name: string
  readonly links: LinkPool
}

/** Servers call their sessions otherwise: `loteria` and a space. */
const commandName = "loteria-command"

const connectMs = 10_000
/** A piece of a report comes at once; what takes this long doesn't come any more. */
const answerMs = 60_000

/**
 * Chunks are read along their key, piece after piece. Without statistics PostgreSQL would look at all that are left, and
 * sort them, for every piece.
 */
const settings = { enable_bitmapscan: "off", enable_seqscan: "off" }

export const linkOptionsOf = (url: PostgresUrl): LinkOptions => ({
  url,
  connectMs,
  applicationName: commandName,
  settings
})

export const connectDatabase = (url: PostgresUrl): Effect.Effect<Database, never, Scope.Scope> =>
  Effect.map(
    LinkPool.make({ ...linkOptionsOf(url), linksMax: 2, answerMs }),
    (links) => ({ name: showPostgresUrl(url), links })
  )

/** For reading. Fails where no ledger has begun, or one of another version. */
export const openDatabase = Effect.fnUntraced(function*(url: PostgresUrl) {
  const database = yield* connectDatabase(url)
  yield* requireTables(database.links, database.name).pipe(
    Effect.catchTag("LedgerUnavailable", notOpened(database.name))
  )
  return database
})

export type Read<A> = (
  connection: PgConnection
) => Effect.Effect<A, SqlError | LedgerUnavailable | LedgerUnreadable>

/** All that is read is of one moment. `operation` is for messages. */
export const inSnapshot = <A>(
  { links }: Database,
  operation: string,
  read: Read<A>
): Effect.Effect<A, LedgerUnavailable | LedgerUnreadable> =>
  links.attempt((connection) =>
    connection.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").pipe(
      Effect.andThen(read(connection)),
      // The connection of an interrupted read is cut.
      Effect.tapError(() => Effect.ignore(connection.query("ROLLBACK"))),
      Effect.tap(() => connection.query("COMMIT"))
    )
  ).pipe(Effect.catchTag("SqlError", failSql(operation)))

/** In words: what is read is not what was stored. */
export const damagedIn = (name: string, what: string): LedgerUnreadable =>
  new LedgerUnreadable({
    path: name,
    problem: `${what}: the database is damaged; stop the servers and restore it from a backup`
  })
