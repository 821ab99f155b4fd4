/** The reports on a lottery in a real PostgreSQL, and `ledger begin` in one. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Redacted, Result, Stream } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { AgencyId } from "../../../src/domain/Agency.ts"
import { DrawName, WinningNumber } from "../../../src/domain/Draw.ts"
import type { LedgerAddress } from "../../../src/services/admin/LedgerAddress.ts"
import { backupLedger } from "../../../src/services/admin/LedgerBackup.ts"
import { verifyLedger } from "../../../src/services/admin/LedgerCheck.ts"
import { exportChunks } from "../../../src/services/admin/LedgerExport.ts"
import { ledgerInfo } from "../../../src/services/admin/LedgerInfo.ts"
import { results } from "../../../src/services/admin/LedgerReport.ts"
import { beginLedger } from "../../../src/services/admin/NextLedger.ts"
import { winningBets } from "../../../src/services/admin/WinningBets.ts"
import { parsePostgresUrl } from "../../../src/services/base/PostgresUrl.ts"
import { BetLedger } from "../../../src/services/ledger/BetLedger.ts"
import { keptLedger } from "../../support/Kept.ts"
import { betAt, chunkOf, plainChunk, selling } from "../../support/LedgerChunks.ts"
import { Postgres, postgresKinds } from "../../support/Postgres.ts"
import { StoredLottery } from "../../support/StoredLotteries.ts"

const three = AgencyId.make(3)
const five = AgencyId.make(5)
const roster = [three, five]
const winningNumber = WinningNumber.make(257)
const may = DrawName.make("may")

const chunks = [
  chunkOf(three, 1, [betAt(0, 257), betAt(1, 300), betAt(2, 257)]),
  plainChunk(five, 1, 2),
  chunkOf(three, 2, [], true),
  plainChunk(five, 2, 1),
  chunkOf(five, 3, [betAt(7, 257)], true)
]
const winners = new Map([
  [3, [betAt(0).document, betAt(2).document]],
  [5, [betAt(7).document]]
])
const told = {
  agency: 5,
  at: "2026-12-24T20:15:00+01:00",
  address: "10.0.0.5",
  port: 4711,
  served: true
}

const urlOf = (text: string) => Result.getOrThrow(parsePostgresUrl(text))
const addressOf = (text: string, draw?: string): LedgerAddress => ({ url: urlOf(text), draw })

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "loteria-admin-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

/** Everything that reports say of a ledger, without what its home says of itself. */
const reported = Effect.fnUntraced(function*(address: LedgerAddress) {
  const { beganAt: _began, bytes: _bytes, path: _path, ...info } = yield* ledgerInfo(address)
  const pieces = yield* Stream.runCollect(exportChunks(address))
  return {
    info: { ...info, draw: info.draw && { winners: info.draw.winners } },
    results: { ...(yield* results(address)), draw: undefined },
    winners: { ...(yield* Effect.scoped(winningBets(address))), draw: undefined },
    csv: Buffer.concat([...pieces].flat().map(({ csv }) => csv)).toString(),
    verification: yield* verifyLedger(address)
  }
})

for (const { kind, name, skipped } of postgresKinds) {
  describe.skipIf(skipped)(`on ${name}`, () => {
    let postgres: Postgres
    beforeAll(async () => {
      postgres = await Postgres.start({ kind })
    })
    afterAll(() => postgres[Symbol.asyncDispose]())

    const newDatabase = Effect.promise(() => postgres.createDatabase())

    /** A lottery with the chunks, and with its draw. */
    const stored = Effect.fnUntraced(function*(draw = may) {
      const url = yield* newDatabase
      yield* beginLedger(addressOf(url), { roster, winningNumber, draw })
      const lottery = new StoredLottery(postgres, url, draw)
      yield* Effect.promise(() => lottery.store(chunks))
      return { url, lottery }
    })
    const held = Effect.gen(function*() {
      const { lottery, url } = yield* stored()
      yield* Effect.promise(() => lottery.hold(257, winners))
      yield* Effect.promise(() => lottery.told({ ...told, how: "confirmed" }))
      return { url, lottery }
    })

    it.live("reports say what they say of a file with the same bets", () =>
      Effect.gen(function*() {
        const file = join(yield* folder, "ledger.sqlite")
        const ledger = keptLedger({ path: file, roster, winningNumber, draw: may })
        yield* Effect.provide(
          Effect.flatMap(BetLedger, (opened) => {
            const { commit, holdDraw, told: note } = selling(opened)
            return commit(chunks).pipe(
              Effect.andThen(holdDraw),
              Effect.andThen(note([{ ...told, how: "confirmed" }]))
            )
          }),
          ledger
        )
        const { url } = yield* held
        const [ofFile, ofDatabase] = [yield* reported(file), yield* reported(addressOf(url))]
        assert.deepStrictEqual(ofDatabase, ofFile)
        assert.strictEqual(ofFile.verification.problemCount, 0)
        const info = yield* ledgerInfo(addressOf(url))
        assert.match(info.draw?.heldAt ?? "", /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
        assert.match(info.beganAt, /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
        assert.isAbove(info.bytes, 8192)
      }).pipe(Effect.scoped))

    it.live("the export is of the moment when it began, and in pieces", () =>
      Effect.gen(function*() {
        const { lottery, url } = yield* stored(may)
        yield* Effect.promise(async () => {
          await lottery.query("DELETE FROM chunk")
          await lottery.store(
            Array.from({ length: 60 }, (_, index) => plainChunk(three, index + 1, 1000))
          )
        })
        const pieces: Array<number> = []
        yield* Stream.runForEach(
          exportChunks(addressOf(url)),
          (piece) =>
            Effect.promise(async () => {
              if (pieces.length === 0) await lottery.store([plainChunk(three, 61, 1000)])
              pieces.push(piece.reduce((bets, chunk) => bets + chunk.bets, 0))
            })
        )
        assert.isAbove(pieces.length, 2)
        assert.strictEqual(pieces.reduce((sum, bets) => sum + bets, 0), 60_000)
      }))

    it.live("a draw is chosen by its name, and is else the one that began last", () =>
      Effect.gen(function*() {
        const { url } = yield* held
        const june = DrawName.make("june")
        yield* beginLedger(addressOf(url), { roster: [three], winningNumber, draw: june }, true)
        assert.strictEqual((yield* results(addressOf(url))).drawName, june)
        const { agencies, drawName } = yield* results(addressOf(url, may))
        assert.deepStrictEqual([drawName, agencies.map(({ bets }) => bets)], [may, [3, 4]])
        const error = yield* Effect.flip(results(addressOf(url, "july")))
        assert.include(error.message, "it holds no draw july; it holds june, may")
        assert.notInclude(error.message, Redacted.value(urlOf(url).password ?? Redacted.make("?")))
      }))

    it.live("an empty database, and none at all, say so", () =>
      Effect.gen(function*() {
        const url = yield* newDatabase
        assert.include(
          (yield* Effect.flip(results(addressOf(url)))).message,
          "no ledger has begun in it"
        )
        assert.include(
          (yield* Effect.flip(results(addressOf(postgres.url("nowhere"))))).message,
          "does not exist"
        )
        assert.include(
          (yield* Effect.flip(backupLedger(addressOf(url), "out.sqlite"))).message,
          "pg_dump"
        )
      }))

    it.live("rights to read are enough", () =>
      Effect.gen(function*() {
        const { url } = yield* held
        const role = `reader_${Date.now()}`
        yield* Effect.promise(async () => {
          await postgres.query(`CREATE ROLE ${role} LOGIN PASSWORD 'r'`, [], url)
          await postgres.query(`GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${role}`, [], url)
        })
        const reader = url.replace(/\/\/postgres:[^@]*@/, `//${role}:r@`)
        const { results: report, verification } = yield* reported(addressOf(reader))
        assert.deepStrictEqual(report.agencies.map(({ winners: won }) => won), [2, 1])
        assert.strictEqual(verification.problemCount, 0)
      }))

    /** What is done to the lottery of the test, and what is to be said of it. */
    const damages: ReadonlyArray<readonly [what: string, sql: string, problem: RegExp]> = [
      [
        "a chunk that is gone",
        "DELETE FROM chunk WHERE agency = 5 AND seq = 2",
        /agency 5, chunk 3: comes after chunk 1/
      ],
      [
        "a last chunk that is gone",
        "DELETE FROM chunk WHERE agency = 5 AND seq = 3",
        /agency 5: is marked as finished, and its last chunk is not there/
      ],
      [
        "a name that isn't what was stored",
        "UPDATE chunk SET body = replace(body, 'Ñandú 1', 'Ñandú 3') WHERE agency = 3",
        /agency 3, chunk 1: its bytes are not those that were stored/
      ],
      [
        "a running total",
        "UPDATE chunk SET total = 9 WHERE agency = 5 AND seq = 2",
        /agency 5, chunk 2: says that the agency has 9 bets, there are 3/
      ],
      [
        "an epoch that goes back",
        "UPDATE chunk SET epoch = 2 WHERE agency = 5 AND seq = 1",
        /agency 5, chunk 1: was stored under epoch 2, and its agency has 1[^]*agency 5, chunk 2: was stored under epoch 1, after one of 2/
      ],
      [
        "a finished mark",
        "UPDATE agency SET finished = false WHERE agency = 3",
        /agency 3: is not marked as finished, and its last chunk is there/
      ],
      [
        "an agency's row that is gone",
        "DELETE FROM agency WHERE agency = 3",
        /agency 3: has no row/
      ],
      [
        "another roster",
        "UPDATE lottery SET roster = '4'",
        /the lottery is not the one that began[^]*agency 5, chunk 1: the agency is not in the roster/
      ],
      ["a winner that is gone", "DELETE FROM winner WHERE agency = 5", /its 0 stored winners/],
      [
        "another winner",
        "UPDATE winner SET document = '1' WHERE agency = 3 AND position = 1",
        /winner 1 of agency 3 is not what was stored[^]*its 2 stored winners are not the 2 of its bets/
      ],
      [
        "a draw without its time",
        "UPDATE lottery SET held_at = NULL",
        /the draw has no time, but result/
      ],
      [
        "a record of an agency told",
        "UPDATE told SET port = 1",
        /whether agency 5 was told its winners is not what was stored/
      ]
    ]

    it.live("every kind of damage is found by its place, without a bettor's data", () =>
      Effect.gen(function*() {
        const { lottery, url } = yield* held
        const tables = ["agency", "chunk", "draw", "winner", "told"]
        yield* Effect.promise(async () => {
          await lottery.query("CREATE SCHEMA kept")
          for (const table of ["lottery", ...tables]) {
            await lottery.query(`CREATE TABLE kept.${table} AS SELECT * FROM ${table}`)
          }
        })
        for (const [what, sql, expected] of damages) {
          yield* Effect.promise(() => lottery.query(sql))
          const { problems } = yield* verifyLedger(addressOf(url))
          const text = problems.join("\n")
          assert.match(text, expected, what)
          assert.notMatch(text, /Ñandú|Güemes|3000000/, what)
          yield* Effect.promise(async () => {
            for (const table of tables.toReversed()) await lottery.query(`DELETE FROM ${table}`)
            await lottery.query(
              "UPDATE lottery l SET roster = k.roster, held_at = k.held_at FROM kept.lottery k WHERE k.id = l.id"
            )
            for (const table of tables) {
              await lottery.query(`INSERT INTO ${table} SELECT * FROM kept.${table}`)
            }
          })
        }
        assert.deepStrictEqual((yield* verifyLedger(addressOf(url))).problems, [])
      }))

    it.live("begin leaves the old lottery as it is, and asks what it asks of a file", () =>
      Effect.gen(function*() {
        const { lottery, url } = yield* stored()
        const next = { roster, winningNumber: WinningNumber.make(1) }
        const begin = (draw?: string, anyway = false) =>
          beginLedger(
            addressOf(url),
            { ...next, draw: draw === undefined ? undefined : DrawName.make(draw) },
            anyway
          )
        assert.include((yield* Effect.flip(begin())).message, "its draw has not been held")
        yield* Effect.promise(() => lottery.hold(257, winners))
        yield* Effect.promise(() => lottery.told({ ...told, how: "sent" }))
        assert.include((yield* Effect.flip(begin(may))).message, "is also called may")
        const unsettled = (yield* Effect.flip(begin())).message
        assert.include(unsettled, "agency 3: not known to have been told the winners")
        assert.include(unsettled, "agency 5: sent the winners, but their receipt is not confirmed")
        assert.strictEqual((yield* begin("june", true)).draw, "june")
        const before = yield* reported(addressOf(url, may))
        assert.deepStrictEqual(before.verification.problems, [])
        assert.strictEqual(before.info.bets, 7)
        // June is empty: it is begun again, under its own name or another that is free.
        assert.include((yield* Effect.flip(begin(may))).message, "is also called may")
        assert.strictEqual((yield* begin()).draw, "june")
        assert.strictEqual((yield* begin("july")).draw, "july")
        const draws = yield* Effect.promise(() => lottery.query("SELECT draw FROM lottery"))
        assert.sameMembers(draws.map(({ draw }) => draw), [may, "july"])
        const epochs = yield* Effect.promise(() =>
          lottery.query("SELECT epoch::text FROM agency WHERE lottery <> $1")
        )
        assert.deepStrictEqual(epochs, [{ epoch: "2" }, { epoch: "2" }])
        assert.deepStrictEqual((yield* verifyLedger(addressOf(url))).problems, [])
      }))
  })
}
