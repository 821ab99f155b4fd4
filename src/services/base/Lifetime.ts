/**
 * The server's end other than by a signal: it is done (`exitWhenServed`), or a defect ends it. And its readiness: the
 * phase of its life, and the troubles for which agencies are not served in between.
 */
import { Cause, Context, Deferred, Effect, Layer } from "effect"
import { localTime } from "../../domain/LocalTime.ts"

export class Lifetime extends Context.Service<Lifetime, {
  /** Begins a shutdown with success. */
  readonly endUnsafe: () => void
  /** Begins a shutdown with a defect. Does nothing for an interruption. */
  readonly failUnsafe: (where: string, cause: Cause.Cause<unknown>) => void
  /** Ends, or dies, when a shutdown is to begin. */
  readonly awaitEnd: Effect.Effect<void>
  /** Why agencies are not served now, in words; empty when they are. */
  readonly unready: () => ReadonlyArray<string>
  /** True from when all ports are open; false from when the shutdown begins. */
  readonly setReady: (ready: boolean) => void
  /** Records that `what` fails because of `problem`; undefined ends the trouble. */
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
          // The trouble may be over and not noticed yet, so its age matters.
          else troubles.set(what, `${problem}, as of ${localTime(new Date())}`)
        }
      })
    })
  )
}
