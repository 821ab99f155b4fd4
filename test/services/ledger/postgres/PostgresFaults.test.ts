/** The ledger in PostgreSQL when something is wrong with the database, or with the way to it. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Result, Schedule, Stream } from "effect"
import { AgencyId } from "../../../../src/domain/Agency.ts"
import { WinningNumber } from "../../../../src/domain/Draw.ts"
import { Keeper, RootKeeper } from "../../../../src/services/base/Keeper.ts"
import { LogWriter } from "../../../../src/services/base/OperatorLog.ts"
import { parsePostgresUrl } from "../../../../src/services/base/PostgresUrl.ts"
import type { LedgerUnavailable, News } from "../../../../src/services/ledger/BetLedger.ts"
import {
  openPostgresLedger,
  type PostgresLedgerOptions
} from "../../../../src/services/ledger/postgres/PostgresLedger.ts"
import { strictKeeper } from "../../../support/Kept.ts"
import { betAt, chunkOf, plainChunk, selling } from "../../../support/LedgerChunks.ts"
import { Postgres } from "../../../support/Postgres.ts"
import { TcpProxy } from "../../../support/TcpProxy.ts"
import { waitUntil } from "../../../support/WaitUntil.ts"

const [three, five] = [AgencyId.make(3), AgencyId.make(5)]

const optionsOf = (text: string): PostgresLedgerOptions => ({
  url: Result.getOrThrow(parsePostgresUrl(text)),
  server: "one",
  roster: [three, five],
  winningNumber: WinningNumber.make(257),
  draw: undefined,
  pollMs: 20
})

const open = (text: string, options: Partial<PostgresLedgerOptions> = {}) =>
  Effect.provideService(
    openPostgresLedger({ ...optionsOf(text), ...options }),
    Keeper,
    strictKeeper
  )

const eventually = (what: string, holds: () => boolean) =>
  Effect.promise(() => waitUntil(what, holds))

const untilItWorks = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.retry(effect, { schedule: Schedule.spaced(20), times: 1000 })

describe("the ledger in PostgreSQL", () => {
  let postgres: Postgres
  beforeAll(async () => {
    postgres = await Postgres.start()
  })
  afterAll(() => postgres[Symbol.asyncDispose]())

  const newDatabase = Effect.promise(() => postgres.createDatabase())
  const query = (url: string, statement: string) =>
    Effect.promise(() => postgres.query(statement, [], url))
  const proxied = Effect.acquireRelease(
    Effect.promise(() => TcpProxy.start(postgres.port)),
    (proxy) => Effect.promise(() => proxy[Symbol.asyncDispose]())
  )
  const through = (url: string, proxy: TcpProxy) => url.replace(/:\d+\/(\w+)$/, `:${proxy.port}/$1`)

  it.live("doesn't give out what is damaged, and holds no draw over it", () =>
    Effect.gen(function*() {
      const url = yield* newDatabase
      const ledger = yield* open(url)
      yield* selling(ledger).commit([
        plainChunk(three, 1, 3),
        plainChunk(three, 2, 1, true),
        plainChunk(five, 1, 2, true)
      ])
      yield* query(
        url,
        "UPDATE chunk SET body = replace(body, 'Ñ', 'N') WHERE agency = 3 AND seq = 1"
      )
      const all: ReadonlyArray<Effect.Effect<unknown, LedgerUnavailable>> = [
        ledger.chunkAt(three, 1),
        ledger.readBets(three, { seq: 1, offset: 0 }, 10),
        ledger.digest(three),
        ledger.holdDraw
      ]
      for (const read of all) {
        const { message } = yield* Effect.flip(read)
        assert.include(
          message,
          "chunk 1 of agency 3 is not what was stored: the database is damaged"
        )
      }
      assert.isTrue(Option.isSome(yield* ledger.chunkAt(five, 1)))
    }))

  const harms = [
    ["a chunk is missing", "DELETE FROM chunk WHERE agency = 3 AND seq = 1"],
    ["a last chunk is missing", "DELETE FROM chunk WHERE agency = 5"],
    ["an agency was marked as finished", "UPDATE agency SET finished = true"]
  ] as const
  it.live.each(harms)("holds no draw when %s", ([what, harm]) =>
    Effect.gen(function*() {
      const url = yield* newDatabase
      const ledger = yield* open(url)
      const last = what !== "an agency was marked as finished"
      yield* selling(ledger).commit([
        plainChunk(three, 1, 3),
        plainChunk(three, 2, 1, last),
        plainChunk(five, 1, 2, true)
      ])
      yield* query(url, harm)
      const { message } = yield* Effect.flip(ledger.holdDraw)
      assert.include(message, "the database is damaged")
    }))

  it.live("gives out no draw whose winners are damaged", () =>
    Effect.gen(function*() {
      const url = yield* newDatabase
      const ledger = yield* open(url)
      yield* selling(ledger).commit([
        chunkOf(three, 1, [betAt(0, 257)], true),
        plainChunk(five, 1, 2, true)
      ])
      yield* ledger.holdDraw
      yield* query(url, "UPDATE winner SET document = '1'")
      const later = yield* open(url, { server: "two" })
      const { message } = yield* Effect.flip(later.standing)
      assert.include(message, "winner 1 of agency 3 is not what was stored")
    }))

  it.live("gives out a draw that it didn't hold itself only when it is on the standby", () =>
    Effect.gen(function*() {
      const url = yield* newDatabase
      const ledger = yield* open(url)
      yield* selling(ledger).commit([plainChunk(three, 1, 1, true), plainChunk(five, 1, 1, true)])
      const draw = yield* ledger.holdDraw
      const later = yield* open(url, { server: "two", answerMs: 2000 })
      const waitFor = (standbys: string) =>
        Effect.andThen(
          query(url, `ALTER SYSTEM SET synchronous_standby_names = '${standbys}'`),
          query(url, "SELECT pg_reload_conf()")
        )
      yield* Effect.addFinalizer(() => waitFor(""))
      yield* waitFor("nobody")
      const { message } = yield* Effect.flip(later.standing)
      assert.include(message, "No answer within 2000 ms")
      yield* waitFor("")
      const standing = yield* untilItWorks(later.standing)
      assert.deepStrictEqual(standing.draw, draw)
    }))

  it.live("tells with a claim what is stored, also when a failover has lost some of it", () =>
    Effect.gen(function*() {
      const url = yield* newDatabase
      const ledger = yield* open(url)
      yield* selling(ledger).commit([plainChunk(three, 1, 3), plainChunk(three, 2, 4)])
      yield* query(url, "DELETE FROM chunk WHERE agency = 3 AND seq = 2")
      assert.deepInclude(yield* ledger.claim(three), { seq: 1, bets: 3 })
    }))

  it.live("refuses a claim for as long as somebody holds the agency's row, and grants it afterwards", () =>
    Effect.gen(function*() {
      const url = yield* newDatabase
      const unclaimed: Array<readonly [number, string]> = []
      const ledger = yield* open(url, {
        claimLockMs: 200,
        onUnclaimed: (...one) => unclaimed.push(one)
      })
      const holding = yield* Effect.forkScoped(
        query(url, "SELECT pg_sleep(1) FROM agency WHERE agency = 3 FOR UPDATE"),
        { startImmediately: true }
      )
      const refused = yield* untilItWorks(Effect.flip(ledger.claim(three)))
      assert.include(refused.message, "SQLSTATE 55P03")
      assert.deepStrictEqual(unclaimed, [[3, refused.message]])
      yield* ledger.claim(five)
      yield* Fiber.join(holding)
      yield* ledger.claim(three)
    }))

  it.live("claims for those who still wait when others have gone", () =>
    Effect.gen(function*() {
      const url = yield* newDatabase
      const ledger = yield* open(url)
      for (let round = 0; round < 40; round++) {
        const claims = yield* Effect.forEach(
          Array.from({ length: 12 }, (_, index) => index % 2 === 0 ? three : five),
          (agency) => Effect.forkChild(ledger.claim(agency), { startImmediately: true })
        )
        for (let turn = 0; turn < round % 8; turn++) yield* Effect.sleep(1)
        const gone = claims.filter((_, index) => (index * 7 + round) % 3 !== 0)
        yield* Effect.forEach(gone, (fiber) => Fiber.interrupt(fiber), { concurrency: "unbounded" })
        const stay = claims.filter((fiber) => !gone.includes(fiber))
        const epochs = yield* Effect.forEach(stay, (fiber) => Fiber.join(fiber))
        assert.strictEqual(epochs.length, stay.length)
      }
      const [one, other] = [yield* ledger.claim(three), yield* ledger.claim(three)]
      assert.strictEqual(other.epoch, one.epoch + 1)
    }))

  it.live("says once that the database is away, and goes on by itself when it is back", () =>
    Effect.gen(function*() {
      const own = yield* Effect.acquireRelease(
        Effect.promise(() => Postgres.start()),
        (started) => Effect.promise(() => started[Symbol.asyncDispose]())
      )
      const url = yield* Effect.promise(() => own.createDatabase())
      const troubles: Array<string | undefined> = []
      const ledger = yield* open(url, { onTrouble: (problem) => troubles.push(problem) })
      const heard: Array<News> = []
      yield* Effect.forkScoped(Stream.runForEach(ledger.news, (news) =>
        Effect.sync(() => {
          heard.push(news)
        })))
      const claim = yield* ledger.claim(three)
      yield* Effect.promise(() => own.kill())
      const away = yield* Effect.flip(ledger.claim(five))
      assert.strictEqual(away._tag, "LedgerUnavailable")
      yield* eventually("trouble", () => troubles.length > 0)
      yield* Effect.promise(() => own.start())
      yield* eventually("the end of the trouble", () => troubles.includes(undefined))
      assert.isDefined(troubles[0])
      assert.strictEqual(new Set(troubles).size, troubles.length, "each reason once")
      assert.strictEqual(troubles.indexOf(undefined), troubles.length - 1)
      const again = yield* untilItWorks(ledger.claim(three))
      assert.isAbove(again.epoch, claim.epoch)
      // It listens again too.
      const other = yield* open(url, { server: "two" })
      const isThere = Effect.gen(function*() {
        yield* ledger.claim(three)
        yield* other.claim(three)
        return heard.some(({ _tag }) => _tag === "Claimed")
          ? undefined
          : yield* Effect.fail("not yet")
      })
      yield* untilItWorks(isThere)
    }))

  it.live("says that its lottery was removed", () =>
    Effect.gen(function*() {
      const url = yield* newDatabase
      const troubles: Array<string | undefined> = []
      yield* open(url, { onTrouble: (problem) => troubles.push(problem) })
      yield* query(url, "DELETE FROM agency")
      yield* query(url, "DELETE FROM lottery")
      yield* eventually("trouble", () => troubles.length > 0)
      assert.strictEqual(troubles[0], "the lottery is not there any more")
    }))

  it.live("stores and draws nothing any more once its lottery was begun anew with other values", () =>
    Effect.gen(function*() {
      const url = yield* newDatabase
      const replaced: Array<string> = []
      const ledger = yield* open(url, { onReplaced: (problem) => replaced.push(problem) })
      yield* ledger.claim(three)
      yield* query(
        url,
        "SELECT replace_empty_lottery(1, 'other', '3,5', 9999, 1, ARRAY[3, 5]::bigint[])"
      )
      const begunAnew = "was begun anew with other values"
      assert.include((yield* Effect.flip(ledger.claim(three))).message, begunAnew)
      yield* query(url, "UPDATE agency SET finished = true")
      assert.include((yield* Effect.flip(ledger.holdDraw)).message, begunAnew)
      assert.deepStrictEqual(yield* query(url, "SELECT FROM draw"), [])
      assert.deepStrictEqual(yield* query(url, "SELECT FROM agency WHERE server IS NOT NULL"), [])
      yield* eventually("its end", () => replaced.length > 0)
      assert.include(replaced[0], begunAnew)
    }))

  it.live("goes on after its sessions were terminated", () =>
    Effect.gen(function*() {
      const url = yield* newDatabase
      const ledger = yield* open(url)
      yield* ledger.claim(three)
      const name = url.replace(/^.*\//, "")
      assert.isAbove(yield* Effect.promise(() => postgres.terminateSessions(name)), 2)
      yield* untilItWorks(ledger.claim(three))
      yield* untilItWorks(ledger.standing)
      yield* untilItWorks(selling(ledger).commit([plainChunk(three, 1, 1)]))
    }))

  it.live.each(["stall", "lose"] as const)(
    "gives up connections on which nothing comes any more, where the network is at fault: %s",
    (fault) =>
      Effect.gen(function*() {
        const proxy = yield* proxied
        const url = yield* newDatabase
        const ledger = yield* open(through(url, proxy), { answerMs: 2000, connectMs: 2000 })
        yield* ledger.claim(three)
        proxy.set(fault)
        const claim = yield* Effect.flip(ledger.claim(three))
        assert.match(claim.message, /No answer within 2000 ms|timed out/)
        yield* Effect.flip(ledger.standing)
        yield* eventually("an end of the stalled connections", () => proxy.connections <= 8)
        proxy.heal()
        yield* untilItWorks(ledger.claim(three))
        yield* untilItWorks(ledger.standing)
      })
  )

  it.live("is closed at once while the database is silent", () =>
    Effect.gen(function*() {
      const proxy = yield* proxied
      const url = yield* newDatabase
      const listening = "SELECT FROM pg_stat_activity WHERE datname = current_database() "
        + "AND query LIKE 'LISTEN%' AND state = 'idle'"
      const closed = yield* Effect.scoped(Effect.gen(function*() {
        yield* open(through(url, proxy))
        yield* untilItWorks(
          Effect.filterOrFail(query(url, listening), (rows) => rows.length > 0)
        )
        proxy.set("stall")
      })).pipe(Effect.timeoutOption(5000))
      assert.isTrue(Option.isSome(closed))
    }))

  it.live("goes on after a defect in what it does by itself, which is logged", () =>
    Effect.gen(function*() {
      const url = yield* newDatabase
      let log = ""
      const writer = new LogWriter({ level: "INFO", format: "text", flushMs: 0 }, (text) => {
        log += text
      })
      const proxy = yield* proxied
      let calls = 0
      yield* openPostgresLedger({
        ...optionsOf(through(url, proxy)),
        onTrouble: () => {
          calls++
          if (calls === 1) throw new Error("planted by the test")
        }
      }).pipe(Effect.provideService(Keeper, new RootKeeper(writer, () => {})))
      proxy.refuse()
      yield* eventually("a log line", () => log !== "")
      assert.match(log, /CRITICAL action: defect .* root: poll of the database \| ends: nothing/)
      proxy.heal()
      yield* eventually("the end of the trouble", () => calls > 1)
    }))
})
