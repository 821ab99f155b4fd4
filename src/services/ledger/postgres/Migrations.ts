/**
 * Brings the database to the tables of this version. Any number of servers may do so at once: the first takes a lock, and
 * the others find that nothing is left to do. A server whose role may not change tables can open a database that has
 * them.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect } from "effect"
import * as Migrator from "effect/sql/Migrator"
import { SqlClient } from "effect/sql/SqlClient"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import { type LedgerUnavailable, LedgerUnfit, LedgerUnreadable } from "../BetLedger.ts"
import { flag, integer, text } from "./Columns.ts"
import { linkConfig, type LinkOptions, type LinkPool } from "./Links.ts"
import { migrations } from "./Schema.ts"
import { failSql, serverErrorOf, unavailable } from "./SqlFailures.ts"

const table = "loteria_migration"

/** Another server may be making them, and has to be waited for. */
const migrateMs = 60_000

/** `shown` is the database's address for messages. */
export const migrate = Effect.fnUntraced(function*(
  links: LinkPool,
  options: LinkOptions,
  shown: string
) {
  const version = yield* readVersion(links, shown)
  if (version === migrations.length) return yield* requireRights(links, shown)
  if (version > migrations.length) return yield* newerVersion(version, shown)
  const client = PgClient.layerFrom(PgClient.makeClient(linkConfig(options)))
  yield* Effect.provide(Migrator.make({})({ loader, table }), client).pipe(
    Effect.timeoutOrElse({
      duration: migrateMs,
      orElse: () =>
        Effect.fail(unavailable("open", `its tables were not made within ${migrateMs / 1000} s`))
    }),
    Effect.catchTag("SqlError", (error) => notMade(error, shown)),
    Effect.catchTag(
      "MigrationError",
      (error) => isSqlError(error.cause) ? notMade(error.cause, shown) : Effect.die(error)
    )
  )
})

const newerVersion = (version: number, path: string) =>
  new LedgerUnreadable({
    path,
    problem: `its tables have version ${version}, and this program knows ${migrations.length}: `
      + "start a newer version of it"
  })

/** Why a reader refuses a database in which a server would begin, or whose tables it would bring up to date. */
export const noTables = "the database is empty: no ledger has begun in it"
export const olderTables =
  "its tables have an older version; start the server on it once to bring them up to date"

/** For those who only read: fails where the tables are not those of this version. */
export const requireTables = Effect.fnUntraced(function*(links: LinkPool, shown: string) {
  const version = yield* readVersion(links, shown)
  if (version > migrations.length) return yield* newerVersion(version, shown)
  if (version === migrations.length) return
  const problem = version === 0 ? noTables : olderTables
  return yield* new LedgerUnreadable({ path: shown, problem })
})

/** Fails where {@link migrate} would, as far as can be seen without a change. */
export const checkMigration = Effect.fnUntraced(function*(links: LinkPool, shown: string) {
  const version = yield* readVersion(links, shown)
  if (version > migrations.length) return yield* newerVersion(version, shown)
  if (version === migrations.length) return yield* requireRights(links, shown)
  const { rows: [row] } = yield* links.use("open", (connection) => connection.query(emptiness))
  if (version === 0 && !flag(row, "is_empty")) return yield* foreign(shown)
  if (!flag(row, "may_create")) return yield* mayNotCreate(shown)
})

const emptiness = `SELECT has_schema_privilege(current_schema(), 'CREATE') AS may_create,
  NOT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema()
      AND c.relname IN ('lottery', 'agency', 'chunk', 'draw', 'winner', 'told', 'bet')
  ) AS is_empty`

/** What a server writes from the first claim to the draw. A role that may only read would come as far as that. */
const rights = `SELECT has_table_privilege('chunk', 'INSERT')
  AND has_table_privilege('winner', 'INSERT')
  AND has_table_privilege('told', 'INSERT')
  AND has_column_privilege('agency', 'epoch', 'UPDATE')
  AND has_column_privilege('lottery', 'held_at', 'UPDATE') AS may_store`

const requireRights = Effect.fnUntraced(function*(links: LinkPool, shown: string) {
  const { rows: [row] } = yield* links.use("open", (connection) => connection.query(rights))
  if (flag(row, "may_store")) return
  const problem =
    "this role may not store bets: connect as loteria_server, or run ops/postgres/grants.sql"
  return yield* new LedgerUnfit({ path: shown, problem })
})

const mayNotCreate = (path: string) =>
  new LedgerUnfit({
    path,
    problem:
      "its tables are not made, or are of an older version, and this role may not make them: "
      + "run `loteria ledger begin` once with the role that owns the database"
  })

const foreign = (path: string) =>
  new LedgerUnfit({
    path,
    problem: "it holds tables of another program; use an empty database"
  })

/** How many migrations the database has seen. */
const readVersion = (links: LinkPool, shown: string) =>
  links.attempt((connection) =>
    Effect.gen(function*() {
      const place = yield* connection.query(
        `SELECT current_schema() IS NOT NULL AS is_there, to_regclass('${table}') IS NOT NULL AS is_made`
      )
      const [found] = place.rows
      if (found?.["is_there"] !== true) {
        return yield* unavailable("open", "the search_path names no schema that is there")
      }
      if (found["is_made"] !== true) return 0
      const versions = yield* connection.query(
        `SELECT coalesce(max(migration_id), 0) AS version FROM ${table}`
      )
      return integer(versions.rows[0], "version")
    })
  ).pipe(Effect.catchTag("SqlError", (error) => refused(error, shown)))

const loader: Migrator.Loader = Effect.succeed(
  migrations.map(({ name, statements }, index) => {
    const work = Effect.gen(function*() {
      const sql = yield* SqlClient
      const [row] = yield* sql`SELECT quote_ident(current_schema()) AS name`
      for (const statement of statements(text(row, "name"))) yield* sql.unsafe(statement)
    })
    return [index + 1, name, Effect.succeed(work)]
  })
)

/** The names of tables, columns and functions are there, or are not, as another program has made them. */
const foreignCodes: ReadonlySet<string | undefined> = new Set([
  "42P07",
  "42710",
  "42723",
  "42703"
])

const refused = (
  error: SqlError,
  shown: string
): Effect.Effect<never, LedgerUnfit | LedgerUnavailable> =>
  foreignCodes.has(serverErrorOf(error)?.code)
    ? Effect.fail(foreign(shown))
    : failSql("open")(error)

const insufficientPrivilege = "42501"

const notMade = (
  error: SqlError,
  shown: string
): Effect.Effect<never, LedgerUnfit | LedgerUnavailable> =>
  serverErrorOf(error)?.code === insufficientPrivilege
    ? Effect.fail(mayNotCreate(shown))
    : refused(error, shown)
