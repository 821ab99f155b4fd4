import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import { ConnectionLost } from "../../src/services/AgencyClient/CentralConnection.ts"
import { makePatience } from "../../src/services/AgencyClient/Patience.ts"

describe("patience", () => {
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
        const patience = yield* makePatience(
          "central:1",
          { backoffFirstMs: first, backoffMaxMs: maximum, giveUpAfterMs },
          (_, waitMs) => waits.push(waitMs)
        )
        const lost = new ConnectionLost(
          retryAfterMs === undefined ? { problem: "cut" } : { problem: "later", retryAfterMs }
        )
        for (let failure = 0; failure < failures; failure++) {
          const waiting = yield* Effect.forkChild(patience.wait(lost))
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
        yield* patience.progressed
        yield* TestClock.adjust(giveUpAfterMs)
        const outcome = yield* Effect.exit(
          Effect.timeoutOption(patience.wait(new ConnectionLost({ problem: "cut" })), 0)
        )
        assert.isTrue(Exit.isFailure(outcome))
      })
  )
})
