import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Fiber, Scope } from "effect"
import { restartsMax } from "../../../src/domain/Limits.ts"
import { RootKeeper } from "../../../src/services/base/Keeper.ts"
import { LogWriter } from "../../../src/services/base/OperatorLog.ts"

const planted = () => {
  throw new Error("planted by the test")
}

/** What is logged, and for what the server is ended. */
const watched = () => {
  const seen = { log: "", ended: new Array<string>() }
  const log = new LogWriter({ level: "INFO", format: "text", flushMs: 0 }, (text) => {
    seen.log += text
  })
  const keeper = new RootKeeper(log, (root, cause) => {
    seen.ended.push(`${root} ${Cause.pretty(cause).split("\n")[0]}`)
  })
  return { keeper, seen }
}

const connection = (endByDefect: () => void) => ({ described: { ip: "10.0.0.7" }, endByDefect })

describe("a keeper", () => {
  it("ends the connection whose callback throws, logs the cause, and counts", () => {
    const { keeper, seen } = watched()
    let ended = 0
    const callback = keeper.forConnection("socket data", connection(() => ended++), planted)
    callback()
    callback()
    assert.strictEqual(ended, 2)
    assert.strictEqual(keeper.defects, 2)
    assert.deepStrictEqual(seen.ended, [])
    assert.match(
      seen.log,
      /CRITICAL action: defect \| result: fail \| root: socket data \| ends: connection \| ip: 10.0.0.7 \| defects: 1 \| cause: Error: planted/
    )
  })

  it("logs also that a connection couldn't be ended, and lives", () => {
    const { keeper, seen } = watched()
    keeper.forEach("deadline of a close", planted)(connection(planted))
    assert.strictEqual(keeper.defects, 2)
    assert.deepStrictEqual(seen.ended, [])
  })

  it("calls again what serves all, and ends the server when it throws too often", () => {
    const { keeper, seen } = watched()
    const callback = keeper.forAll("listener's error", planted)
    for (let times = 0; times < restartsMax; times++) callback()
    assert.deepStrictEqual(seen.ended, [])
    callback()
    assert.strictEqual(seen.ended.length, 1)
    assert.match(seen.ended[0] ?? "", /^listener's error, started again 10 times, Error: planted/)
  })

  it.effect("begins a loop again, and takes an interruption for no defect", () =>
    Effect.gen(function*() {
      const { keeper, seen } = watched()
      let steps = 0
      const scope = yield* Scope.make()
      const step = Effect.suspend(() => ++steps === 2 ? Effect.die("planted") : Effect.yieldNow)
      const settled = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow)
      yield* Scope.provide(keeper.loop("deadlines", step), scope)
      yield* settled
      assert.isAbove(steps, 3)
      assert.strictEqual(keeper.defects, 1)
      yield* Scope.close(scope, yield* Effect.exit(Effect.void))
      assert.strictEqual(keeper.defects, 1)
      const fiber = yield* Effect.forkChild(Effect.scoped(
        Effect.andThen(keeper.inLedgersPath("draw", Effect.never), Effect.never)
      ))
      yield* settled
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(seen.ended, [])
    }))
})
