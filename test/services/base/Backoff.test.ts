/** The waits between one failure and the next try, as numbers and as a schedule. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Schedule } from "effect"
import { TestClock } from "effect/testing"
import { backoff, backoffMs } from "../../../src/services/base/Backoff.ts"

const bounds = { firstMs: 50, maxMs: 300 }
const waits = [50, 100, 200, 300, 300]

describe("the backoff", () => {
  it("doubles the wait with each failure up to the maximum, however many there were", () => {
    assert.deepStrictEqual(waits.map((_, index) => backoffMs(index + 1, bounds)), waits)
    assert.strictEqual(backoffMs(100_000, bounds), 300)
    assert.strictEqual(backoffMs(1, { firstMs: 50, maxMs: 20 }), 20)
    assert.strictEqual(backoffMs(100_000, { firstMs: 0, maxMs: 20 }), 0)
  })

  it.effect("as a schedule has the same waits and never ends", () =>
    Effect.gen(function*() {
      const step = yield* Schedule.toStep(backoff(bounds))
      const found: Array<number> = []
      for (const _ of waits) {
        const [, wait] = yield* step(0, undefined)
        found.push(Duration.toMillis(wait))
      }
      assert.deepStrictEqual(found, waits)
    }))

  it.effect("begins with the first wait each time that a schedule is used", () =>
    Effect.gen(function*() {
      let tries = 0
      const failsTwice = Effect.suspend(() => ++tries % 3 === 0 ? Effect.void : Effect.fail("no"))
      const retried = Effect.retry(failsTwice, backoff(bounds))
      for (const done of [3, 6]) {
        const trying = yield* Effect.forkChild(retried)
        yield* TestClock.adjust(149)
        assert.strictEqual(tries, done - 1)
        yield* TestClock.adjust(1)
        assert.strictEqual(tries, done)
        yield* Fiber.join(trying)
      }
    }))
})
