/** How long the server lives: until it is done (`exitWhenServed`), or a defect in the ledger's path ends it. */
import { Cause, Context, Deferred, Effect, Layer } from "effect"

export class Lifetime extends Context.Service<Lifetime, {
  /** Ends the server in good order. */
  readonly end: Effect.Effect<void>
  /** Ends the server with a defect; an interruption is none. */
  readonly fail: (where: string, cause: Cause.Cause<unknown>) => Effect.Effect<void>
  /** Waits for either. */
  readonly awaitEnd: Effect.Effect<void>
  /** Whether agencies are served: from when all doors are open until the shutdown begins. */
  readonly isReady: () => boolean
  readonly setReady: (ready: boolean) => void
}>()("loteria-nacional/services/Lifetime") {
  static readonly layer = Layer.effect(
    Lifetime,
    Effect.gen(function*() {
      let ready = false
      const ended = yield* Deferred.make<void>()
      return Lifetime.of({
        end: Effect.asVoid(Deferred.succeed(ended, undefined)),
        fail: (where, cause) =>
          Cause.hasInterruptsOnly(cause)
            ? Effect.void
            : Effect.asVoid(
              Deferred.die(ended, new Error(`${where} failed: ${Cause.pretty(cause)}`))
            ),
        awaitEnd: Deferred.await(ended),
        isReady: () => ready,
        setReady: (now) => {
          ready = now
        }
      })
    })
  )
}
