import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Lifetime } from "../../../src/services/base/Lifetime.ts"
import { OperatorLog } from "../../../src/services/base/OperatorLog.ts"
import { decodeSettings, Settings } from "../../../src/services/base/Settings.ts"
import { checkReady } from "../../../src/services/operations/Health.ts"
import { operationsLayer } from "../../../src/services/operations/Operations.ts"
import { freePort } from "../../support/FreePorts.ts"

describe("health", () => {
  it.live("says why the server doesn't serve agencies, for as long as that is so", () =>
    Effect.gen(function*() {
      const port = yield* Effect.promise(() => freePort())
      const settings = yield* decodeSettings("the test", {
        operations: { port },
        log: { level: "CRITICAL" }
      }, {})
      const health = Effect.match(checkReady("127.0.0.1", port), {
        onFailure: ({ message }) =>
          message.replace(`127.0.0.1:${port}: `, "").replace(
            /, as of \d{4}-[-+:T\d]+$/,
            ", as of now"
          ),
        onSuccess: () => "ready"
      })
      yield* Effect.gen(function*() {
        const lifetime = yield* Lifetime
        assert.strictEqual(yield* health, "not ready: starting")
        lifetime.setReady(true)
        assert.strictEqual(yield* health, "ready")
        lifetime.setTrouble("ledger", "database or disk is full")
        assert.strictEqual(yield* health, "not ready: ledger: database or disk is full, as of now")
        lifetime.setReady(false)
        assert.strictEqual(
          yield* health,
          "not ready: stopping; ledger: database or disk is full, as of now"
        )
        lifetime.setTrouble("ledger", undefined)
        lifetime.setReady(true)
        assert.strictEqual(yield* health, "ready")
      }).pipe(
        Effect.provide(
          operationsLayer.pipe(
            Layer.provideMerge(Layer.mergeAll(OperatorLog.layer(settings.log), Lifetime.layer)),
            Layer.provideMerge(Layer.succeed(Settings, settings))
          )
        )
      )
      assert.match(yield* health, /ECONNREFUSED/)
    }))
})
