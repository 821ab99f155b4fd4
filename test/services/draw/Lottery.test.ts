/** When the draw is due and held, and what of it is known before and after. The ledger is a stub. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Layer, Option, PubSub, Stream } from "effect"
import { TestClock } from "effect/testing"
import { AgencyId } from "../../../src/domain/Agency.ts"
import { type Draw, WinningNumber } from "../../../src/domain/Draw.ts"
import { Lifetime } from "../../../src/services/base/Lifetime.ts"
import { LogWriter } from "../../../src/services/base/OperatorLog.ts"
import { Lottery } from "../../../src/services/draw/Lottery.ts"
import {
  type BetLedger,
  LedgerUnavailable,
  type LotteryStanding,
  type News
} from "../../../src/services/ledger/BetLedger.ts"
import { GroupCommit } from "../../../src/services/ledger/GroupCommit.ts"
import { aroundLedger, ledgerStub } from "../../support/LedgerStub.ts"

const [one, two, three] = [AgencyId.make(1), AgencyId.make(2), AgencyId.make(3)]
const draw: Draw = {
  winningNumber: WinningNumber.make(7574),
  winners: new Map([[two, ["30904465"]]])
}

const changed: News = { _tag: "Changed" }

/** A lottery of three agencies. */
const lotteryOf = Effect.fnUntraced(
  function*(
    standing: Partial<LotteryStanding> = {},
    more: Partial<Pick<BetLedger["Service"], "news" | "standing">> = {}
  ) {
    const logged: Array<string> = []
    const log = new LogWriter(
      { level: "INFO", format: "text", flushMs: 0 },
      (lines) => logged.push(lines)
    )
    let failuresLeft = 0
    let tries = 0
    const ledger = ledgerStub({
      standing: Effect.succeed({ finished: new Set(), draw: Option.none(), ...standing }),
      holdDraw: Effect.suspend(() => {
        tries++
        return failuresLeft-- > 0
          ? Effect.fail(
            new LedgerUnavailable({ operation: "holdDraw", cause: new Error("disk full") })
          )
          : Effect.succeedSome(draw)
      }),
      ...more
    })
    const context = yield* Layer.build(Lottery.layer.pipe(
      Layer.provideMerge(GroupCommit.layer),
      Layer.provideMerge(
        aroundLedger(ledger, { lottery: { agencies: 3 }, ledger: { retryFirstMs: 50 } }, log)
      )
    ))
    const lifetime = Context.get(context, Lifetime)
    lifetime.setReady(true)
    return {
      lottery: Context.get(context, Lottery),
      unready: lifetime.unready,
      failTimes: (times: number) => {
        failuresLeft = times
      },
      tries: () => tries,
      ended: Effect.exit(lifetime.awaitEnd),
      logged: () => {
        log.flush()
        return logged.join("")
      }
    }
  }
)

/** Fibers have done all that they can do without time passing. */
const settled = TestClock.adjust(0)

/** Which agencies have finished, as a ledger tells that other servers use: at first, and after their news. */
const elsewhere = Effect.fnUntraced(
  function*(first: ReadonlyArray<AgencyId>, then: ReadonlyArray<AgencyId>) {
    const news = yield* PubSub.unbounded<News>()
    let finished = new Set(first)
    const shared = {
      news: Stream.fromPubSub(news),
      standing: Effect.sync(() => ({ finished, draw: Option.none<Draw>() }))
    }
    const change = Effect.suspend(() => {
      finished = new Set(then)
      return PubSub.publish(news, changed)
    })
    return { shared, tell: Effect.andThen(settled, Effect.andThen(change, settled)) }
  }
)

describe("the draw", () => {
  it.effect("that another server has held is known with the next news, and logged", () =>
    Effect.gen(function*() {
      const news = yield* PubSub.unbounded<News>()
      let now: LotteryStanding = { finished: new Set([one]), draw: Option.none() }
      const { logged, lottery, tries } = yield* lotteryOf({}, {
        news: Stream.fromPubSub(news),
        standing: Effect.sync(() => now)
      })
      yield* settled
      now = { finished: new Set([one, two]), draw: Option.some(draw) }
      yield* PubSub.publish(news, { _tag: "Changed" })
      assert.deepStrictEqual(yield* lottery.drawn, draw)
      yield* settled
      assert.strictEqual(tries(), 0)
      assert.include(logged(), "sorteo | result: success | detail: held by another server")
    }))

  it.effect("is held once, when the last agency of the roster has finished", () =>
    Effect.gen(function*() {
      const { logged, lottery, tries } = yield* lotteryOf({
        finished: new Set([one])
      })
      const waiting = yield* Effect.forkChild(lottery.drawn)
      yield* lottery.finish(two)
      yield* settled
      assert.deepStrictEqual(yield* lottery.current, Option.none())
      assert.strictEqual(tries(), 0)

      yield* lottery.finish(three)
      assert.deepStrictEqual(yield* Fiber.join(waiting), draw)
      assert.deepStrictEqual(yield* lottery.current, Option.some(draw))
      yield* lottery.finish(three)
      yield* settled
      assert.strictEqual(tries(), 1)
      assert.match(logged(), /action: sorteo \| result: success/)
    }))

  it.effect("that can't be held is tried again after a growing wait, and is trouble until then", () =>
    Effect.gen(function*() {
      const { failTimes, logged, lottery, tries, unready } = yield* lotteryOf()
      failTimes(2)
      for (const agency of [one, two, three]) yield* lottery.finish(agency)
      yield* settled
      assert.strictEqual(tries(), 1)
      assert.match(unready().join(), /^draw: .*held \(disk full\)/)
      assert.match(logged(), /action: sorteo \| result: fail \| problem: .*disk full/)
      yield* TestClock.adjust(50)
      assert.strictEqual(tries(), 2)
      yield* TestClock.adjust(99)
      assert.deepStrictEqual(yield* lottery.current, Option.none())
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* lottery.drawn, draw)
      assert.deepStrictEqual(unready(), [])
    }))

  it.effect("that was due when the server ended is held at the next start", () =>
    Effect.gen(function*() {
      const { lottery, tries } = yield* lotteryOf({ finished: new Set([one, two, three]) })
      assert.deepStrictEqual(yield* lottery.drawn, draw)
      assert.strictEqual(tries(), 1)
    }))

  it.effect("that was held is served, and not held again", () =>
    Effect.gen(function*() {
      const { logged, lottery, tries } = yield* lotteryOf({
        finished: new Set([one, two, three]),
        draw: Option.some(draw)
      })
      assert.deepStrictEqual(yield* lottery.current, Option.some(draw))
      yield* settled
      assert.strictEqual(tries(), 0)
      assert.match(logged(), /action: draw_held/)
    }))

  it.effect("isn't due any more when another server's agency turns out not to have finished", () =>
    Effect.gen(function*() {
      const { shared, tell } = yield* elsewhere([one, two], [one])
      const { lottery, tries } = yield* lotteryOf({}, shared)
      yield* tell
      assert.deepStrictEqual([1, 2, 3].map(lottery.missing.has), [false, true, true])
      yield* lottery.finish(three)
      yield* settled
      assert.strictEqual(tries(), 0)
    }))

  it.effect("can't be held, and the server ends, when the ledger has lost that an agency finished here", () =>
    Effect.gen(function*() {
      const { shared, tell } = yield* elsewhere([one], [one])
      const { ended, logged, lottery } = yield* lotteryOf({}, shared)
      yield* lottery.finish(two)
      yield* tell
      const exit = yield* ended
      assert.match(
        Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "",
        /the ledger failed: .*it has lost what was acknowledged/
      )
      assert.include(
        logged(),
        "action: ledger_lost | result: fail | agencia: 2 | acknowledged: finished | stored: not finished"
      )
    }))

  it.effect("that another server has held meanwhile is not held again, also if it couldn't be held here", () =>
    Effect.gen(function*() {
      const finished = new Set([one, two, three])
      for (const failures of [0, 1]) {
        const news = yield* PubSub.unbounded<News>()
        let now: LotteryStanding = { finished: new Set(), draw: Option.none() }
        const { failTimes, lottery, tries, unready } = yield* lotteryOf({}, {
          news: Stream.fromPubSub(news),
          standing: Effect.sync(() => now)
        })
        failTimes(failures)
        yield* settled
        if (failures > 0) {
          now = { finished, draw: Option.none() }
          yield* PubSub.publish(news, changed)
          yield* settled
          assert.match(unready().join(), /^draw: /)
        }
        now = { finished, draw: Option.some(draw) }
        yield* PubSub.publish(news, changed)
        yield* TestClock.adjust(50)
        assert.deepStrictEqual(yield* lottery.drawn, draw)
        assert.strictEqual(tries(), failures)
        assert.deepStrictEqual(unready(), [])
      }
    }))

  it.effect("waits for the missing agencies of the roster, and for nobody else", () =>
    Effect.gen(function*() {
      const { lottery: { finish, isAgency, missing } } = yield* lotteryOf()
      yield* finish(two)
      assert.deepStrictEqual([1, 2, 3, 4].map(missing.has), [true, false, true, false])
      assert.deepStrictEqual(missing.first(1), [one])
      assert.deepStrictEqual(missing.first(9), [one, three])
      assert.deepStrictEqual([0, 1, 3, 4].map(isAgency), [false, true, true, false])
    }))
})
