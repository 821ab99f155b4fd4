import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Random, Schema } from "effect"
import { TestClock } from "effect/testing"
import { ConnectionLost } from "../../../src/services/agency/CentralConnection.ts"
import { makeRetry } from "../../../src/services/agency/Retry.ts"

describe("retry", () => {
  const milliseconds = (maximum: number) =>
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum }))

  it.effect.prop(
    "waits from retry_after_ms on, at most a growing and bounded time longer, until it gives up",
    {
      first: milliseconds(1000),
      maximum: milliseconds(20_000),
      retryAfterMs: Schema.UndefinedOr(milliseconds(5000)),
      failures: milliseconds(12)
    },
    ({ failures, first, maximum, retryAfterMs }) =>
      Effect.gen(function*() {
        const waits: Array<number> = []
        const giveUpAfterMs = 1_000_000
        const retry = yield* makeRetry(
          [{ host: "central", port: 1 }],
          {
            backoffFirstMs: first,
            backoffMaxMs: maximum,
            takeoverBackoffMaxMs: maximum,
            giveUpAfterMs
          },
          ({ waitMs }) => waits.push(waitMs)
        )
        const lost = new ConnectionLost(
          retryAfterMs === undefined ? { problem: "cut" } : { problem: "later", retryAfterMs }
        )
        for (let failure = 0; failure < failures; failure++) {
          const waiting = yield* Effect.forkChild(retry.wait(lost))
          yield* TestClock.adjust(retryAfterMs ?? 0)
          yield* TestClock.adjust(maximum + 1)
          yield* Fiber.join(waiting)
        }
        assert.strictEqual(waits.length, failures)
        for (const [failure, waitMs] of waits.entries()) {
          const least = retryAfterMs ?? 0
          assert.isAtLeast(waitMs, least)
          assert.isAtMost(waitMs, Math.ceil(least + Math.min(maximum, first * 2 ** failure)))
        }
        yield* retry.progressed
        yield* TestClock.adjust(giveUpAfterMs)
        const outcome = yield* Effect.exit(
          Effect.timeoutOption(retry.wait(new ConnectionLost({ problem: "cut" })), 0)
        )
        assert.isTrue(Exit.isFailure(outcome))
      })
  )

  const closed = new ConnectionLost({ problem: "closed", closed: true })
  const reset = new ConnectionLost({ problem: "ECONNRESET" })

  /** Chances of 1: every wait is as long as it can get. */
  const longestWaits = Effect.fnUntraced(function*(
    losses: ReadonlyArray<{ readonly lost: ConnectionLost; readonly heldMs: number | undefined }>
  ) {
    const waits: Array<number> = []
    const retry = yield* makeRetry(
      [{ host: "central", port: 1 }],
      { backoffFirstMs: 100, backoffMaxMs: 400, takeoverBackoffMaxMs: 1600, giveUpAfterMs: 60_000 },
      ({ waitMs }) => waits.push(waitMs)
    )
    for (const { heldMs, lost } of losses) {
      if (heldMs !== undefined) {
        yield* retry.connected
        yield* TestClock.adjust(heldMs)
        yield* retry.progressed
      }
      const waiting = yield* Effect.forkChild(retry.wait(lost))
      yield* TestClock.adjust(1600)
      yield* Fiber.join(waiting)
    }
    return waits
  }, Effect.provideService(Random.Random, { nextDoubleUnsafe: () => 1, nextIntUnsafe: () => 1 }))

  it.effect("with several servers waits shortly within a round, longer with each, and as each asked", () =>
    Effect.gen(function*() {
      const waits: Array<readonly [to: string, waitMs: number]> = []
      const servers = [{ host: "a", port: 1 }, { host: "b", port: 1 }] as const
      const retry = yield* makeRetry(
        servers,
        { backoffFirstMs: 100, backoffMaxMs: 400, takeoverBackoffMaxMs: 1, giveUpAfterMs: 60_000 },
        ({ to, waitMs }) => waits.push([to.host, waitMs])
      )
      const later = new ConnectionLost({ problem: "OVERLOADED", retryAfterMs: 1000 })
      const notDrawn = new ConnectionLost({ problem: "", retryAfterMs: 1000, everywhere: true })
      for (const lost of [reset, reset, reset, reset, reset, later, later, reset, notDrawn]) {
        const waiting = yield* Effect.forkChild(retry.wait(lost))
        yield* TestClock.adjust(2000)
        yield* Fiber.join(waiting)
      }
      yield* retry.progressed
      for (const ms of [100, 1000]) {
        const waiting = yield* Effect.forkChild(retry.wait(later))
        yield* TestClock.adjust(ms)
        yield* Fiber.join(waiting)
      }
      assert.deepStrictEqual(waits, [
        ["b", 100],
        ["a", 100],
        ["b", 100],
        ["a", 200],
        ["b", 100],
        ["a", 400],
        // 2000 ms have passed since each of them asked for 1000.
        ["b", 100],
        ["a", 400],
        ["a", 1400],
        ["b", 100],
        // It asked for 1000 ms, 100 ms ago.
        ["a", 1000]
      ])
    }).pipe(Effect.provideService(Random.Random, {
      nextDoubleUnsafe: () => 1,
      nextIntUnsafe: () => 1
    })))

  it.effect("waits ever longer when each connection is closed, whatever was achieved on it", () =>
    Effect.gen(function*() {
      const waits = yield* longestWaits(
        Array.from({ length: 7 }, () => ({ lost: closed, heldMs: 50 }))
      )
      assert.deepStrictEqual(waits, [100, 200, 400, 800, 1600, 1600, 1600])
      const resets = yield* longestWaits(
        Array.from({ length: 3 }, () => ({ lost: reset, heldMs: 50 }))
      )
      assert.deepStrictEqual(resets, [100, 100, 100])
    }))

  it.effect("takes a connection that was left alone, or nobody there, for having no rival", () =>
    Effect.gen(function*() {
      const taken = { lost: closed, heldMs: 50 }
      const heldLong = yield* longestWaits([
        taken,
        taken,
        taken,
        { lost: closed, heldMs: 1601 },
        taken
      ])
      assert.deepStrictEqual(heldLong, [100, 200, 400, 100, 200])
      const away = { lost: reset, heldMs: undefined }
      const restarted = yield* longestWaits([taken, taken, taken, away, taken])
      assert.deepStrictEqual(restarted, [100, 200, 400, 200, 100])
    }))
})
