/** What a server finds or makes when it opens a database, alone and beside others. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Redacted, Result, Runtime } from "effect"
import { AgencyId } from "../../../../src/domain/Agency.ts"
import { DrawName, WinningNumber } from "../../../../src/domain/Draw.ts"
import { describeBegin } from "../../../../src/services/admin/DatabaseBegin.ts"
import { ExitCode } from "../../../../src/services/base/ExitCode.ts"
import { Keeper } from "../../../../src/services/base/Keeper.ts"
import { parsePostgresUrl } from "../../../../src/services/base/PostgresUrl.ts"
import {
  openPostgresLedger,
  type PostgresLedgerOptions
} from "../../../../src/services/ledger/postgres/PostgresLedger.ts"
import { strictKeeper } from "../../../support/Kept.ts"
import { Postgres, postgresKinds } from "../../../support/Postgres.ts"

const urlOf = (text: string) => Result.getOrThrow(parsePostgresUrl(text))

const base = {
  roster: [3, 5].map((id) => AgencyId.make(id)),
  winningNumber: WinningNumber.make(257),
  draw: undefined,
  server: "one"
}

for (const { kind, name, skipped } of postgresKinds) {
  describe.skipIf(skipped)(`a server that opens ${name}`, () => {
    let postgres: Postgres
    beforeAll(async () => {
      postgres = await Postgres.start({ kind })
    })
    afterAll(() => postgres[Symbol.asyncDispose]())

    const newDatabase = Effect.promise(() => postgres.createDatabase())
    const query = (url: string, statement: string) =>
      Effect.promise(() => postgres.query(statement, [], url))
    const openedWith = (url: string, options: Partial<PostgresLedgerOptions> = {}) =>
      Effect.map(
        openPostgresLedger({ ...base, url: urlOf(url), ...options }),
        ({ opened }) => opened
      ).pipe(Effect.scoped, Effect.provideService(Keeper, strictKeeper))

    it.live("makes the tables and begins a lottery, and finds it again", () =>
      Effect.gen(function*() {
        const url = yield* newDatabase
        const first = yield* openedWith(url)
        assert.isTrue(first.isNew)
        assert.match(first.drawName, /^20\d\d-\d\d-\d\dT\d{6}$/)
        const again = yield* openedWith(url)
        assert.deepStrictEqual(again, { ...first, isNew: false })
      }))

    it.live("agrees with seven others that open an empty database at the same moment", () =>
      Effect.gen(function*() {
        const url = yield* newDatabase
        const all = yield* Effect.all(
          Array.from({ length: 8 }, (_, index) => openedWith(url, { server: `server ${index}` })),
          { concurrency: "unbounded" }
        )
        assert.lengthOf(all.filter(({ isNew }) => isNew), 1)
        assert.lengthOf([...new Set(all.map(({ drawName }) => drawName))], 1)
        assert.deepStrictEqual(yield* query(url, "SELECT id::text FROM lottery"), [{ id: "1" }])
      }))

    it.live("begins lotteries of other names beside it, and without a name serves the last", () =>
      Effect.gen(function*() {
        const url = yield* newDatabase
        const [may, june] = [DrawName.make("may"), DrawName.make("june")]
        const winningNumber = WinningNumber.make(1)
        const both = yield* Effect.all([
          openedWith(url, { draw: may }),
          openedWith(url, { draw: june, winningNumber }),
          openedWith(url, { draw: may })
        ], { concurrency: "unbounded" })
        assert.deepStrictEqual(both.map(({ drawName }) => drawName), [may, june, may])
        yield* query(
          url,
          "UPDATE lottery SET began_at = began_at + interval '1 hour' WHERE draw = 'june'"
        )
        const last = yield* openedWith(url, { winningNumber })
        assert.deepStrictEqual([last.drawName, last.isNew], [june, false])
      }))

    it.live("knows how many agencies there are before it plans a store", () =>
      Effect.gen(function*() {
        const url = yield* newDatabase
        const roster = Array.from({ length: 9000 }, (_, index) => AgencyId.make(index + 1))
        yield* openedWith(url, { roster })
        const rows = "SELECT reltuples::int AS rows FROM pg_class WHERE oid = 'agency'::regclass"
        assert.deepStrictEqual(yield* query(url, rows), [{ rows: 9000 }])
      }))

    it.live("refuses another roster or winning number, and names both, without the password", () =>
      Effect.gen(function*() {
        const url = yield* newDatabase
        yield* openedWith(url)
        const number = yield* Effect.flip(
          openedWith(url, { winningNumber: WinningNumber.make(7574) })
        )
        assert.deepInclude(number, { what: "winning number", ledger: "257", configured: "7574" })
        const roster = yield* Effect.flip(openedWith(url, { roster: [AgencyId.make(3)] }))
        assert.deepInclude(roster, { what: "agencies", ledger: "3,5", configured: "3," })
        const { password } = urlOf(url)
        assert.isDefined(password)
        for (const { message } of [number, roster]) {
          assert.include(message, "postgres://postgres@127.0.0.1:")
          assert.notInclude(message, Redacted.value(password))
        }
      }))

    it.live("keeps bodies beside their chunks, compressed", () =>
      Effect.gen(function*() {
        const url = yield* newDatabase
        yield* openedWith(url)
        const [row] = yield* query(
          url,
          `SELECT a.attstorage::text || a.attcompression::text AS body, c.reloptions
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            WHERE a.attrelid = 'chunk_1'::regclass AND a.attname = 'body'`
        )
        assert.deepStrictEqual(row?.["reloptions"], ["toast_tuple_target=4080"])
        // A build without lz4 keeps them out of line.
        assert.include(["ml", "e"], row?.["body"])
      }))

    it.live("refuses a database of a newer version", () =>
      Effect.gen(function*() {
        const url = yield* newDatabase
        yield* openedWith(url)
        yield* query(url, "INSERT INTO loteria_migration VALUES (1000, now(), 'later')")
        const error = yield* Effect.flip(openedWith(url))
        assert.match(error.message, /version 1000, and this program knows \d+: start a newer/)
      }))

    it.live.each([
      ["a table", "CREATE TABLE agency (id integer)"],
      ["migrations", "CREATE TABLE loteria_migration (version integer)"]
    ])(
      "refuses a database in which another program has made %s",
      ([, statement = ""]) =>
        Effect.gen(function*() {
          const url = yield* newDatabase
          yield* query(url, statement)
          const refusal = "it holds tables of another program; use an empty database"
          assert.include((yield* Effect.flip(openedWith(url))).message, refusal)
          const checked = yield* Effect.flip(describeBegin(urlOf(url), undefined))
          assert.include(checked.message, refusal)
        })
    )

    it.live("says why it can't, where there is no server or no database", () =>
      Effect.gen(function*() {
        const none = yield* Effect.flip(openedWith("postgres://someone:secret@127.0.0.1:1/x"))
        assert.match(none.message, /ECONNREFUSED/)
        const other = yield* Effect.flip(openedWith(postgres.url("nowhere")))
        assert.match(other.message, /database "nowhere" does not exist \(SQLSTATE 3D000\)/)
        for (const { message } of [none, other]) assert.notInclude(message, "secret")
      }))
  })
}

describe("a PostgreSQL that could lose what it has confirmed", () => {
  it.live("is refused: another encoding", () =>
    Effect.gen(function*() {
      const postgres = yield* Effect.acquireRelease(
        Effect.promise(() => Postgres.start()),
        (started) => Effect.promise(() => started[Symbol.asyncDispose]())
      )
      yield* Effect.promise(() =>
        postgres.query("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
      )
      const error = yield* Effect.flip(describeBegin(urlOf(postgres.url("latin")), undefined))
      assert.strictEqual(error._tag, "LedgerUnfit")
      assert.include(error.message, "its encoding is LATIN1: make a database with ENCODING 'UTF8'")
      assert.strictEqual(Runtime.getErrorExitCode(error), ExitCode.wrongConfiguration)
    }))

  it.live.each([["fsync", "off"], ["full_page_writes", "off"]] as const)(
    "is refused: %s",
    ([setting, value]) =>
      Effect.gen(function*() {
        const postgres = yield* Effect.acquireRelease(
          Effect.promise(() => Postgres.start({ settings: { [setting]: value } })),
          (started) => Effect.promise(() => started[Symbol.asyncDispose]())
        )
        const error = yield* Effect.flip(
          openPostgresLedger({ ...base, url: urlOf(postgres.url()) }).pipe(
            Effect.provideService(Keeper, strictKeeper)
          )
        )
        assert.strictEqual(error._tag, "LedgerUnfit")
        assert.include(error.message, `its setting ${setting} is off, and must be on`)
      })
  )
})
