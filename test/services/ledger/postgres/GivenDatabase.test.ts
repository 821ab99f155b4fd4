/**
 * The conformance suite on any database that speaks PostgreSQL: a managed one, a distributed one, one behind a pooler. Only
 * `LEDGER_SUITE_URL=postgres://… npm run suite` runs it. Each test begins a lottery of its own, so the database must hold
 * no ledger; all that was made is removed at the end, unless the run is killed.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { afterAll, assert, beforeAll, describe } from "@effect/vitest"
import { Effect, Layer, Result } from "effect"
import { randomUUID } from "node:crypto"
import { DrawName } from "../../../../src/domain/Draw.ts"
import { parsePostgresUrl, showPostgresUrl } from "../../../../src/services/base/PostgresUrl.ts"
import { linkConfig } from "../../../../src/services/ledger/postgres/Links.ts"
import { postgresLedgerLayer } from "../../../../src/services/ledger/postgres/PostgresLedger.ts"
import { BetLedgerSuite } from "../../../suites/BetLedgerSuite.ts"
import { SharedLedgerSuite, type SharedStore } from "../../../suites/SharedLedgerSuite.ts"
import { strictKeeperLayer } from "../../../support/Kept.ts"

const url = Result.getOrThrow(parsePostgresUrl(process.env["LEDGER_SUITE_URL"] ?? ""))

/** What the migrations make, the last first. Partitions go with their table. */
const made = [
  "VIEW bet",
  "FUNCTION begin_lottery",
  "FUNCTION replace_empty_lottery",
  "TABLE told",
  "TABLE winner",
  "TABLE draw",
  "TABLE chunk",
  "TABLE agency",
  "TABLE lottery",
  "TABLE loteria_migration"
] as const

const query = (...statements: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const sql = yield* PgClient.PgClient
    let rows: ReadonlyArray<object> = []
    for (const statement of statements) rows = yield* sql.unsafe(statement)
    return rows
  }).pipe(
    Effect.provide(PgClient.layerFrom(PgClient.makeClient(linkConfig({
      url,
      applicationName: "loteria suite",
      connectMs: 10_000
    })))),
    Effect.runPromise
  )

/** The tables, views and functions that are there. */
const inDatabase = () =>
  query(`SELECT relname AS name FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v')
    UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
    ORDER BY name`)

describe(`the ledger in ${showPostgresUrl(url)}`, () => {
  let before: ReadonlyArray<unknown> | undefined
  beforeAll(async () => {
    const found = await inDatabase()
    const names = made.map((one) => one.split(" ")[1])
    assert.isEmpty(
      found.filter((one) => "name" in one && names.some((name) => name === one.name)),
      "the database must hold no ledger: name one for this suite alone"
    )
    before = found
  })
  afterAll(async () => {
    if (before === undefined) return
    await query(...made.map((one) => `DROP ${one}`))
    assert.deepStrictEqual(await inDatabase(), before, "what is left behind")
  })

  const makeStore = Effect.sync((): SharedStore => {
    const draw = DrawName.make(`suite-${randomUUID()}`)
    return {
      layer: (lottery, server) =>
        Layer.provide(postgresLedgerLayer({ url, server, draw, ...lottery }), strictKeeperLayer)
    }
  })

  BetLedgerSuite(
    "it",
    Effect.map(makeStore, ({ layer }) => ({ layer: (lottery) => layer(lottery, "one") }))
  )
  SharedLedgerSuite("it", makeStore)
})
