/**
 * The workers: a bounded set of fibers that take turns from the queue. A worker has the frames of its turns parsed,
 * passes the chunks to be stored to the open group, and is free again: it never waits for the disk. At shutdown the
 * connections are drained before the workers end.
 */
import { type Cause, Context, Effect, Layer, Queue } from "effect"
import { graceKeptMs } from "../../domain/Limits.ts"
import { Keeper } from "../base/Keeper.ts"
import { OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import { BetTurns } from "./BetTurns.ts"
import { Connections } from "./Connections.ts"
import { ConsultTurns } from "./ConsultTurns.ts"
import { endByDefect, type Turn } from "./Turn.ts"

/** Turns that a worker takes at once: it then runs once for all frames of one pass of the event loop. */
const turnsMax = 32

export class Workers extends Context.Service<Workers, { readonly count: number }>()(
  "loteria-nacional/services/intake/Workers"
) {
  static readonly layer = Layer.effect(
    Workers,
    Effect.gen(function*() {
      const { shutdown, workers: count } = yield* Settings
      const connections = yield* Connections
      const bets = yield* BetTurns
      const consults = yield* ConsultTurns
      const log = yield* OperatorLog
      const keeper = yield* Keeper

      const handle = (taken: ReadonlyArray<Turn>): Effect.Effect<void> => {
        const at = (door: "bets" | "consult") =>
          taken.filter(({ session }) => session.connection.door === door)
        return Effect.andThen(
          Effect.forEach(at("consult"), consults.handle, { discard: true }),
          bets.handle(at("bets"))
        )
      }

      /** Ends the turns that a defect of the batch left waiting. */
      const abandon = (taken: ReadonlyArray<Turn>, cause: Cause.Cause<never>): void => {
        for (const turn of taken) if (turn.waiting) endByDefect(keeper, turn, cause)
      }

      const step = Effect.flatMap(
        Queue.takeBetween(connections.turns, 1, turnsMax),
        (taken) =>
          Effect.onError(handle(taken), (cause) => Effect.sync(() => abandon(taken, cause)))
      )
      for (let index = 0; index < count; index++) yield* keeper.loop("workers", step)

      // Runs before the workers are interrupted: finalizers run in reverse.
      yield* Effect.addFinalizer(() =>
        connections.drain(Math.max(shutdown.graceMs - graceKeptMs, 0)).pipe(
          Effect.andThen(
            Effect.sync(() =>
              log.write("INFO", "close_resource", "success", { resource: "connections" })
            )
          )
        )
      )
      return { count }
    })
  )
}
