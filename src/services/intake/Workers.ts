/**
 * The workers: a bounded set of fibers that take turns from the queue. A turn is one frame of one connection; the
 * worker has the frames it took parsed, finds out for each what is to be done, hands chunks that are to be stored to the
 * open group, and is free again: it never waits for the disk. They are drained before they are ended.
 */
import { type Cause, Context, Effect, Layer, Queue } from "effect"
import { Keeper } from "../base/Keeper.ts"
import { OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import { BetsDesk } from "./BetsDesk.ts"
import type { Connection } from "./Connection.ts"
import { Connections } from "./Connections.ts"
import { ConsultDesk } from "./ConsultDesk.ts"
import { endByDefect, endingByDefect } from "./Turn.ts"

/** Turns that a worker takes at once: its fiber's work is then done once for all that came in a turn of the event loop. */
const turnsMax = 32

/** Kept of the grace period for what comes after the connections: children, ledger; children may take 1 s of it. */
const graceKeptMs = 2000

export class Workers extends Context.Service<Workers, { readonly count: number }>()(
  "loteria-nacional/services/intake/Workers"
) {
  static readonly layer = Layer.effect(
    Workers,
    Effect.gen(function*() {
      const { shutdown, workers: count } = yield* Settings
      const connections = yield* Connections
      const bets = yield* BetsDesk
      const consults = yield* ConsultDesk
      const log = yield* OperatorLog
      const keeper = yield* Keeper

      const consult = (connection: Connection): Effect.Effect<void> =>
        endingByDefect(
          keeper,
          connection,
          Effect.suspend(() => {
            connection.begun = true
            if (!connection.closing) return consults.handle(connection)
            connection.endTurn()
            return Effect.void
          })
        )

      const deal = (taken: ReadonlyArray<Connection>): Effect.Effect<void> => {
        const atBets = taken.filter((connection) => connection.door === "bets")
        const atConsult = taken.filter((connection) => connection.door === "consult")
        return Effect.andThen(
          Effect.forEach(atConsult, consult, { discard: true }),
          bets.handle(atBets)
        )
      }

      /** Turns that nobody has begun with would never end. */
      const abandon = (taken: ReadonlyArray<Connection>, cause: Cause.Cause<never>): void => {
        for (const connection of taken) {
          if (!connection.begun) endByDefect(keeper, connection, cause)
        }
      }

      const step = Effect.flatMap(
        Queue.takeBetween(connections.turns, 1, turnsMax),
        (taken) => Effect.onError(deal(taken), (cause) => Effect.sync(() => abandon(taken, cause)))
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
