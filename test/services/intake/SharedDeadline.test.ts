import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { SharedDeadline } from "../../../src/services/intake/SharedDeadline.ts"
import { strictKeeper } from "../../support/Kept.ts"

const run = (durationMs: number) =>
  Effect.gen(function*() {
    const expired: Array<string> = []
    const deadline = new SharedDeadline<string>()
    yield* deadline.run(strictKeeper, durationMs, (owner) => expired.push(owner))
    return { expired, deadline }
  })

describe("SharedDeadline", () => {
  it("expires an owner after its duration and not before, in order", () => {
    const deadlines = new SharedDeadline<string>()
    deadlines.begin("early")
    assert.deepEqual(deadlines.sweep(), [])
    deadlines.begin("late")
    deadlines.begin("early")
    for (let sweep = 2; sweep <= 8; sweep++) assert.deepEqual(deadlines.sweep(), [])
    assert.deepEqual(deadlines.sweep(), ["early"])
    assert.deepEqual(deadlines.sweep(), ["late"])
    assert.strictEqual(deadlines.size, 0)
  })

  it.effect("expires an owner after its duration, at most one sweep late", () =>
    Effect.gen(function*() {
      const { expired, deadline } = yield* run(800)
      yield* TestClock.adjust(50)
      deadline.begin("begun between two sweeps")
      yield* TestClock.adjust(800)
      assert.deepStrictEqual(expired, [])
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(expired, ["begun between two sweeps"])
    }))

  it.effect("begins an owner's time once, and forgets who ended it", () =>
    Effect.gen(function*() {
      const { expired, deadline } = yield* run(800)
      deadline.begin("begun twice")
      deadline.begin("ended")
      yield* TestClock.adjust(500)
      deadline.begin("begun twice")
      deadline.end("ended")
      yield* TestClock.adjust(400)
      assert.deepStrictEqual(expired, ["begun twice"])
      assert.strictEqual(deadline.size, 0)
    }))

  it.effect("also sweeps for a duration of 0, and rests in between", () =>
    Effect.gen(function*() {
      const { expired, deadline } = yield* run(0)
      deadline.begin("no time at all")
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(expired, ["no time at all"])
    }))
})
