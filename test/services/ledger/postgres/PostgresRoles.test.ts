/** The roles of ops/postgres: that each has the rights it needs, and no others. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Stream } from "effect"
import { isSqlError } from "effect/sql/SqlError"
import { readFileSync } from "node:fs"
import { AgencyId } from "../../../../src/domain/Agency.ts"
import { DrawName, WinningNumber } from "../../../../src/domain/Draw.ts"
import { describeBegin } from "../../../../src/services/admin/DatabaseBegin.ts"
import { verifyLedger } from "../../../../src/services/admin/LedgerCheck.ts"
import { exportChunks } from "../../../../src/services/admin/LedgerExport.ts"
import { ledgerInfo } from "../../../../src/services/admin/LedgerInfo.ts"
import { results } from "../../../../src/services/admin/LedgerReport.ts"
import { beginLedger } from "../../../../src/services/admin/NextLedger.ts"
import { winningBets } from "../../../../src/services/admin/WinningBets.ts"
import { Keeper } from "../../../../src/services/base/Keeper.ts"
import { parsePostgresUrl } from "../../../../src/services/base/PostgresUrl.ts"
import { openPostgresLedger } from "../../../../src/services/ledger/postgres/PostgresLedger.ts"
import { serverErrorOf } from "../../../../src/services/ledger/postgres/SqlFailures.ts"
import { strictKeeper } from "../../../support/Kept.ts"
import { plainChunk, selling } from "../../../support/LedgerChunks.ts"
import { Postgres } from "../../../support/Postgres.ts"

const [three, five] = [AgencyId.make(3), AgencyId.make(5)]

/** The statements of a file: they end with a semicolon at the end of a line, outside of dollar quotes. */
const statementsOf = (name: string): ReadonlyArray<string> => {
  const file = new URL(`../../../../ops/postgres/${name}`, import.meta.url)
  const text = readFileSync(file, "utf8").replaceAll(/^--.*\n/gm, "")
  return [...text.matchAll(/(?:\$\$[\s\S]*?\$\$|[^;])+;\n/g)].map(([statement]) => statement.trim())
}

describe("the roles in PostgreSQL", () => {
  it.live("let an owner make the tables, a server serve and begin lotteries, a reader read, and no more", () =>
    Effect.gen(function*() {
      const postgres = yield* Effect.acquireRelease(
        Effect.promise(() => Postgres.start()),
        (started) => Effect.promise(() => started[Symbol.asyncDispose]())
      )
      const admin = yield* Effect.promise(() => postgres.createDatabase())
      const as = (role: string) => admin.replace(/\/\/.*@/, `//loteria_${role}:password@`)
      const query = (url: string, statement: string) =>
        Effect.tryPromise(() => postgres.query(statement, [], url))
      const open = (url: string, draw: string) =>
        openPostgresLedger({
          url: Result.getOrThrow(parsePostgresUrl(url)),
          server: "one",
          roster: [three, five],
          winningNumber: WinningNumber.make(257),
          draw: DrawName.make(draw)
        }).pipe(Effect.provideService(Keeper, strictKeeper))

      for (const statement of statementsOf("roles.sql")) yield* query(admin, statement)
      for (const role of ["owner", "server", "reader"]) {
        yield* query(admin, `ALTER ROLE loteria_${role} PASSWORD 'password'`)
      }
      const early = yield* Effect.flip(open(as("server"), "may"))
      assert.include(early.message, "this role may not make them: run `loteria ledger begin` once")
      const check = (role: string) =>
        describeBegin(Result.getOrThrow(parsePostgresUrl(as(role))), undefined)
      const unmade = yield* Effect.flip(check("server"))
      assert.include(unmade.message, "this role may not make them")
      yield* Effect.scoped(open(as("owner"), "may"))
      for (const statement of statementsOf("grants.sql")) yield* query(as("owner"), statement)

      for (const opened of [Effect.asVoid(open(as("reader"), "may")), check("reader")]) {
        const { message } = yield* Effect.flip(Effect.scoped(opened))
        assert.include(message, "this role may not store bets: connect as loteria_server")
      }
      assert.isUndefined(yield* check("server"))

      const ledger = yield* open(as("server"), "june")
      assert.isTrue(ledger.opened.isNew)
      yield* selling(ledger).commit([
        plainChunk(three, 1, 2, true),
        plainChunk(five, 1, 300, true)
      ])
      yield* ledger.chunkAt(three, 1)
      yield* ledger.digest(three)
      const draw = yield* ledger.holdDraw
      const at = "2026-11-28T12:00:00+00:00"
      const told = {
        agency: three,
        how: "sent",
        at,
        address: "10.0.0.1",
        port: 1,
        served: false
      } as const
      yield* ledger.told([told])
      yield* ledger.told([{ ...told, how: "confirmed", served: true }])
      const other = yield* open(as("server"), "june")
      assert.deepStrictEqual((yield* other.standing).draw, draw)

      const refused: ReadonlyArray<readonly [role: string, statement: string]> = [
        ["server", "UPDATE chunk SET body = ''"],
        ["server", "DELETE FROM chunk"],
        ["server", "DELETE FROM told"],
        ["server", "UPDATE lottery SET winning_number = 1"],
        ["server", "UPDATE winner SET document = ''"],
        ["server", "TRUNCATE chunk"],
        ["server", "CREATE TABLE mine (id integer)"],
        ["reader", "INSERT INTO told SELECT * FROM told"],
        ["reader", "UPDATE agency SET finished = true"],
        ["reader", "SELECT begin_lottery(true, 'x', '1', 1, 1, '{}')"]
      ]
      for (const [role, statement] of refused) {
        const error = yield* Effect.flip(query(as(role), statement))
        const code = isSqlError(error.cause) ? serverErrorOf(error.cause)?.code : undefined
        assert.include(["42501", "25006"], code, statement)
      }
      const rows = yield* query(
        as("reader"),
        `SELECT draw, agency::integer, first_name, last_name, document, birthdate, number,
          chunk::integer, position::integer FROM bet WHERE agency = 3 ORDER BY chunk, position`
      )
      assert.deepStrictEqual(rows[1], {
        draw: "june",
        agency: 3,
        first_name: "Ñandú 1001",
        last_name: "Güemes, \"hijo\"",
        document: "30001001",
        birthdate: "1921-03-11",
        number: 1001,
        chunk: 1,
        position: 2
      })
      assert.lengthOf(rows, 2)

      const address = (role: string, name: string) => ({
        url: Result.getOrThrow(parsePostgresUrl(as(role))),
        draw: name
      })
      const june = address("reader", "june")
      assert.strictEqual((yield* results(june)).agencies.length, 2)
      assert.isAbove((yield* ledgerInfo(june)).bytes, 0)
      assert.deepStrictEqual((yield* verifyLedger(june)).problems, [])
      yield* winningBets(june)
      const pieces = yield* Stream.runCollect(exportChunks(june))
      assert.lengthOf([...pieces].flat(), 2)
      const next = { roster: [three], winningNumber: WinningNumber.make(1) }
      const server = address("server", "")
      yield* beginLedger(server, { ...next, draw: DrawName.make("july") }, true)
      const refusal = yield* Effect.flip(beginLedger(server, next))
      assert.include(refusal.message, "servers are connected to this database: one; stop them all")
    }))
})
