/** How a turn ends that a defect broke off. */
import { Cause, Effect } from "effect"
import type { RootKeeper } from "../base/Keeper.ts"
import type { Connection } from "./Connection.ts"

/** A defect is our bug: it ends the connection it happened on, not the worker. */
export const endByDefect = (
  keeper: RootKeeper,
  connection: Connection,
  cause: Cause.Cause<never>
): void => {
  if (Cause.hasInterruptsOnly(cause)) return
  keeper.endConnection("turn", connection, cause)
  connection.endTurn()
}

/** What is left of a turn, ended by its own defects. */
export const endingByDefect = (
  keeper: RootKeeper,
  connection: Connection,
  rest: Effect.Effect<void>
): Effect.Effect<void> =>
  Effect.catchCause(rest, (cause) => Effect.sync(() => endByDefect(keeper, connection, cause)))
