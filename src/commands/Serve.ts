/** `serve`: runs the central until a signal ends it, or until every agency is served when it is configured so. */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { configFlag, loadConfiguration } from "./ConfigurationFlags.ts"

export const serve = Command.make(
  "serve",
  {
    config: configFlag("The configuration file; environment variables override it"),
    checkConfig: Flag.Boolean("check-config").pipe(
      Flag.withDefault(false),
      Flag.withDescription(
        "Check the configuration, compare it with the ledger that it names, report what is wrong, and exit; changes "
          + "nothing"
      )
    )
  },
  Effect.fnUntraced(function*({ checkConfig, config }) {
    if (checkConfig) {
      const { checkWithLedger } = yield* Effect.promise(() =>
        import("../services/admin/ConfigurationCheck.ts")
      )
      const found = yield* checkWithLedger(config, yield* loadConfiguration(config))
      yield* Console.log(`${config}: valid`)
      return yield* Console.log(found)
    }
    // The central is larger than all other commands together, which never load it.
    const { runCentral } = yield* Effect.promise(() => import("./ServeRun.ts"))
    yield* runCentral(config)
  })
).pipe(Command.withDescription("Run the central"))
