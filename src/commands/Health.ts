/** `health`: whether the server of this configuration serves agencies; what containers check. */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"

export const health = Command.make(
  "health",
  {
    config: Flag.String("config").pipe(
      Flag.withAlias("c"),
      Flag.withDefault("config.yaml"),
      Flag.withDescription("The server's configuration, which names its operations port")
    )
  },
  Effect.fnUntraced(function*({ config }) {
    const [{ loadSettings }, { checkReady }] = yield* Effect.promise(() =>
      Promise.all([
        import("../services/base/Settings.ts"),
        import("../services/operations/Health.ts")
      ])
    )
    const { host, port } = (yield* loadSettings(config, process.env)).operations
    yield* checkReady(host, port)
    yield* Console.log("ready")
  })
).pipe(
  Command.withDescription(
    "Ask the server on this machine whether it serves agencies. "
      + "Exit codes: 0 ready, 1 not ready or not running, 2 wrong usage, 78 wrong configuration."
  ),
  Command.withShortDescription("Ask the server whether it is ready")
)
