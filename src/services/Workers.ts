/**
 * The workers: a bounded set of fibers that take turns from the queue. A turn is one frame of one connection; the
 * worker has it parsed, finds out what is to be done, hands a chunk that is to be stored to the open group, and is free
 * again: it never waits for the disk. They are drained before they are ended.
 */
import { Cause, Context, Effect, Layer, Queue } from "effect"
import { BetsDesk } from "./BetsDesk.ts"
import type { Connection } from "./Connection.ts"
import { Connections } from "./Connections.ts"
import { ConsultDesk } from "./ConsultDesk.ts"
import { OperatorLog } from "./OperatorLog.ts"
import { Settings } from "./Settings.ts"

/** Kept of the grace period for what comes after the connections: children, ledger; children may take 1 s of it. */
const graceKeptMs = 2000

export class Workers extends Context.Service<Workers, { readonly count: number }>()(
  "loteria-nacional/services/Workers"
) {
  static readonly layer = Layer.effect(
    Workers,
    Effect.gen(function*() {
      const { shutdown, workers: count } = yield* Settings
      const connections = yield* Connections
      const bets = yield* BetsDesk
      const consults = yield* ConsultDesk
      const log = yield* OperatorLog

      // A defect is our bug: it ends the connection it happened on, not the worker.
      const onDefect = (connection: Connection, cause: Cause.Cause<never>) =>
        Effect.sync(() => {
          if (Cause.hasInterruptsOnly(cause)) return
          log.write("CRITICAL", "turn", "fail", {
            door: connection.door,
            cause: Cause.pretty(cause)
          })
          connection.close("defect")
          connection.endTurn()
        })

      const turn = (connection: Connection): Effect.Effect<void> =>
        connection.closing
          ? Effect.sync(() => connection.endTurn())
          : (connection.door === "bets" ? bets.handle(connection) : consults.handle(connection))
            .pipe(
              Effect.catchCause((cause) => onDefect(connection, cause))
            )

      const worker = Queue.take(connections.turns).pipe(
        Effect.flatMap(turn),
        Effect.forever({ disableYield: true })
      )
      for (let index = 0; index < count; index++) yield* Effect.forkScoped(worker)

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
