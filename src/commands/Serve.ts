/** `serve`: runs the central until a signal, or until all are served when so configured. */
import { Console, Effect, Layer } from "effect"
import { Command, Flag } from "effect/cli"
import * as v8 from "node:v8"
import { formatRoster } from "../domain/Agency.ts"

/**
 * Every chunk passes through buffers outside V8's heap that are dead a few milliseconds later. V8 counts them towards
 * the heap's limit and at its defaults marked the whole heap up to twenty times a second under load: 170 µs of CPU per
 * chunk of 1,000 bets. Let grow to four times of what lives, it is 70 µs; with the young ones collected as soon as a
 * tenth of their space is used, so that their buffers don't pile up, 17 µs.
 */
const memoryFlags = ["--heap-growing-percent=300", "--minor-gc-task-trigger=10"]

const config = Flag.String("config").pipe(
  Flag.withAlias("c"),
  Flag.withDefault("config.yaml"),
  Flag.withDescription("The configuration file; environment variables override it")
)
const checkConfig = Flag.Boolean("check-config").pipe(
  Flag.withDefault(false),
  Flag.withDescription("Validate the configuration, say what is wrong with it, and exit")
)

/** The server is more than all other commands together: they don't load it. */
const modules = Effect.promise(async () => {
  const [lifetime, log, server, settings, signals] = await Promise.all([
    import("../services/Lifetime.ts"),
    import("../services/OperatorLog.ts"),
    import("../services/Server.ts"),
    import("../services/Settings.ts"),
    import("../services/Signals.ts")
  ])
  return { ...lifetime, ...log, ...server, ...settings, ...signals }
})

const run = Effect.gen(function*() {
  const { endOnSignals, Lifetime, OperatorLog, serverLayer, Settings } = yield* modules
  const settings = yield* Settings
  const log = yield* OperatorLog
  const lifetime = yield* Lifetime
  for (const flag of memoryFlags) v8.setFlagsFromString(flag)
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
    const { Lifetime, loadSettings, OperatorLog, Settings } = yield* modules
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
