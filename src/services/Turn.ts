/** How a turn ends that a defect broke off. */
import { Cause, Effect } from "effect"
import type { Connection } from "./Connection.ts"
import type { LogWriter } from "./OperatorLog.ts"

/** A defect is our bug: it ends the connection it happened on, not the worker. */
export const endByDefect = (
  log: LogWriter,
  connection: Connection,
  cause: Cause.Cause<never>
): void => {
  if (Cause.hasInterruptsOnly(cause)) return
  log.write("CRITICAL", "turn", "fail", { door: connection.door, cause: Cause.pretty(cause) })
  connection.close("defect")
  connection.endTurn()
}

/** What is left of a turn, ended by its own defects. */
export const endingByDefect = (
  log: LogWriter,
  connection: Connection,
  rest: Effect.Effect<void>
): Effect.Effect<void> =>
  Effect.catchCause(rest, (cause) => Effect.sync(() => endByDefect(log, connection, cause)))
