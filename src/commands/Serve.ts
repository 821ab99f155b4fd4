/** `serve`: runs the central until a signal, or until all are served when so configured. */
import { Console, Effect, Layer } from "effect"
import { Command, Flag } from "effect/cli"
import { formatRoster } from "../domain/Agency.ts"
import { Lifetime } from "../services/Lifetime.ts"
import { OperatorLog } from "../services/OperatorLog.ts"
import { serverLayer } from "../services/Server.ts"
import { loadSettings, Settings } from "../services/Settings.ts"
import { endOnSignals } from "../services/Signals.ts"

const config = Flag.String("config").pipe(
  Flag.withAlias("c"),
  Flag.withDefault("config.yaml"),
  Flag.withDescription("The configuration file; environment variables override it")
)
const checkConfig = Flag.Boolean("check-config").pipe(
  Flag.withDefault(false),
  Flag.withDescription("Validate the configuration, say what is wrong with it, and exit")
)

const run = Effect.gen(function*() {
  const settings = yield* Settings
  const log = yield* OperatorLog
  const lifetime = yield* Lifetime
  yield* endOnSignals(settings.shutdown.graceMs)
  log.write("INFO", "config", "success", {
    agencies: formatRoster(settings.lottery.agencies),
    ledger: settings.ledger.path,
    workers: settings.workers,
    parsers: settings.parsers.processes,
    log_level: settings.log.level
  })
  yield* Layer.build(serverLayer)
  yield* Effect.acquireRelease(
    Effect.sync(() => lifetime.setReady(true)),
    () => Effect.sync(() => lifetime.setReady(false))
  )
  log.write("INFO", "ready", "success", { start_ms: Math.round(process.uptime() * 1000) })
  yield* lifetime.awaitEnd
}).pipe(Effect.scoped)

export const serve = Command.make(
  "serve",
  { config, checkConfig },
  Effect.fnUntraced(function*(flags) {
    const settings = yield* loadSettings(flags.config, process.env)
    if (flags.checkConfig) return yield* Console.log(`${flags.config}: valid`)
    return yield* run.pipe(
      Effect.provide(
        Layer.mergeAll(OperatorLog.layer, Lifetime.layer).pipe(
          Layer.provideMerge(Layer.succeed(Settings, settings))
        )
      )
    )
  })
).pipe(Command.withDescription("Run the central"))
