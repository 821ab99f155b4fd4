/** How long the server lives: until it is done (`exitWhenServed`), or a defect in the ledger's path ends it. */
import { Cause, Context, Deferred, Effect, Layer } from "effect"
import { localTime } from "../../domain/LocalTime.ts"

export class Lifetime extends Context.Service<Lifetime, {
  /** Ends the server in good order. */
  readonly endUnsafe: () => void
  /** Ends the server with a defect; an interruption is none. */
  readonly failUnsafe: (where: string, cause: Cause.Cause<unknown>) => void
  /** Waits for either. */
  readonly awaitEnd: Effect.Effect<void>
  /**
   * Why agencies are not served now, in words; empty when they are, which is from when all doors are open until the
   * shutdown begins, unless something is in trouble.
   */
  readonly unready: () => ReadonlyArray<string>
  readonly setReady: (ready: boolean) => void
  /** `what` can't do its part because of `problem`, as far as is known now, until it is set to undefined. */
  readonly setTrouble: (what: string, problem: string | undefined) => void
}>()("loteria-nacional/services/base/Lifetime") {
  static readonly layer = Layer.effect(
    Lifetime,
    Effect.gen(function*() {
      let phase: "starting" | "ready" | "stopping" = "starting"
      const troubles = new Map<string, string>()
      const ended = yield* Deferred.make<void>()
      const failUnsafe = (where: string, cause: Cause.Cause<unknown>): void => {
        if (Cause.hasInterruptsOnly(cause)) return
        Deferred.doneUnsafe(
          ended,
          Effect.die(new Error(`${where} failed: ${Cause.pretty(cause)}`))
        )
      }
      return Lifetime.of({
        endUnsafe: () => {
          Deferred.doneUnsafe(ended, Effect.void)
        },
        failUnsafe,
        awaitEnd: Deferred.await(ended),
        unready: () => [
          ...(phase === "ready" ? [] : [phase]),
          ...[...troubles].map(([what, problem]) => `${what}: ${problem}`)
        ],
        setReady: (now) => {
          phase = now ? "ready" : "stopping"
        },
        setTrouble: (what, problem) => {
          if (problem === undefined) troubles.delete(what)
          // What nobody has tried again since may be over.
          else troubles.set(what, `${problem}, as of ${localTime(new Date())}`)
        }
      })
    })
  )
}
