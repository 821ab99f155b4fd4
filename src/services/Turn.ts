/** How a turn ends that a defect broke off. */
import { Cause } from "effect"
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
