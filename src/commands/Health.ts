/** `health`: whether the server of this configuration serves agencies. Container healthchecks run it. */
import { Console, Effect } from "effect"
import { Command } from "effect/cli"
import { configFlag, loadConfiguration } from "./ConfigurationFlags.ts"

export const health = Command.make(
  "health",
  { config: configFlag("The server's configuration, which names its operations port") },
  Effect.fnUntraced(function*({ config }) {
    const { checkReady } = yield* Effect.promise(() => import("../services/operations/Health.ts"))
    const { host, port } = (yield* loadConfiguration(config)).operations
    yield* checkReady(host, port)
    yield* Console.log("ready")
  })
).pipe(
  Command.withDescription(
    "Ask the server on this machine whether it is ready to serve agencies. "
      + "Exit codes: 0 ready, 1 not ready or not running, 2 wrong usage, 78 wrong configuration."
  ),
  Command.withShortDescription("Ask the server whether it is ready")
)
