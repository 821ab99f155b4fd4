import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { DeadlineQueue } from "../../../src/services/intake/DeadlineQueue.ts"
import { strictKeeper } from "../../support/Kept.ts"

const run = (durationMs: number) =>
  Effect.gen(function*() {
    const expired: Array<string> = []
    const queue = new DeadlineQueue<string>()
    yield* queue.run(strictKeeper, durationMs, (owner) => expired.push(owner))
    return { expired, queue }
  })

describe("DeadlineQueue", () => {
  it.effect("expires an owner after its duration, at most one sweep late", () =>
    Effect.gen(function*() {
      const { expired, queue } = yield* run(800)
      yield* TestClock.adjust(50)
      queue.begin("begun between two sweeps")
      yield* TestClock.adjust(800)
      assert.deepStrictEqual(expired, [])
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(expired, ["begun between two sweeps"])
    }))

  it.effect("begins an owner's time once, and forgets who ended it", () =>
    Effect.gen(function*() {
      const { expired, queue } = yield* run(800)
      queue.begin("begun twice")
      queue.begin("ended")
      yield* TestClock.adjust(500)
      queue.begin("begun twice")
      queue.end("ended")
      yield* TestClock.adjust(400)
      assert.deepStrictEqual(expired, ["begun twice"])
      assert.strictEqual(queue.size, 0)
    }))

  it.effect("also sweeps for a duration of 0, and rests in between", () =>
    Effect.gen(function*() {
      const { expired, queue } = yield* run(0)
      queue.begin("no time at all")
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(expired, ["no time at all"])
    }))
})
