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
import { type LedgerUnavailable, LedgerUnreadable } from "../BetLedger.ts"
import { integer, text } from "./Columns.ts"
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
  const version = yield* readVersion(links)
  if (version === migrations.length) return
  if (version > migrations.length) return yield* newerVersion(version, shown)
  const client = PgClient.layerFrom(PgClient.makeClient(linkConfig(options)))
  yield* Effect.provide(Migrator.make({})({ loader, table }), client).pipe(
    Effect.timeoutOrElse({
      duration: migrateMs,
      orElse: () =>
        Effect.fail(unavailable("open", `its tables were not made within ${migrateMs / 1000} s`))
    }),
    Effect.catchTag("SqlError", (error) => refused(error, shown)),
    Effect.catchTag(
      "MigrationError",
      (error) => isSqlError(error.cause) ? refused(error.cause, shown) : Effect.die(error)
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
  const version = yield* readVersion(links)
  if (version > migrations.length) return yield* newerVersion(version, shown)
  if (version === migrations.length) return
  const problem = version === 0 ? noTables : olderTables
  return yield* new LedgerUnreadable({ path: shown, problem })
})

/** How many migrations the database has seen. */
const readVersion = (links: LinkPool) =>
  links.use("open", (connection) =>
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
    }))

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

const insufficientPrivilege = "42501"

const refused = (
  error: SqlError,
  shown: string
): Effect.Effect<never, LedgerUnreadable | LedgerUnavailable> =>
  serverErrorOf(error)?.code === insufficientPrivilege
    ? Effect.fail(
      new LedgerUnreadable({
        path: shown,
        problem:
          "its tables are not made, or are of an older version, and this role may not make them: "
          + "run `loteria ledger begin` once with the role that owns the database"
      })
    )
    : failSql("open")(error)
