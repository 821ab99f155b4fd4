/** `serve`: runs the central until a signal, or until all are served when so configured. */
import { Cause, Console, Effect, Layer, Option } from "effect"
import { Command, Flag } from "effect/cli"
import * as v8 from "node:v8"
import { formatRoster } from "../domain/Agency.ts"
import { AlreadyTold, exitCodeOf } from "./Failure.ts"

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
  Flag.withDescription(
    "Validate the configuration, compare it with the ledger that it names, say what is wrong, and exit; changes nothing"
  )
)

/** The server is more than all other commands together: they don't load it. */
const modules = Effect.promise(async () => {
  const [descriptors, lifetime, log, processes, server, settings, signals] = await Promise.all([
    import("../services/base/Descriptors.ts"),
    import("../services/base/Lifetime.ts"),
    import("../services/base/OperatorLog.ts"),
    import("../services/base/Processes.ts"),
    import("../services/Server.ts"),
    import("../services/base/Settings.ts"),
    import("../services/base/Signals.ts")
  ])
  return { ...descriptors, ...lifetime, ...log, ...processes, ...server, ...settings, ...signals }
})

/**
 * What ends the server is a line of its log as all others, so that whoever looks there for warnings finds it. It goes
 * to stderr, where it is seen also when stdout is kept in a file.
 */
const tellAndFail = (cause: Cause.Cause<unknown>, format: "text" | "json", ready: boolean) =>
  Effect.gen(function*() {
    if (Cause.hasInterruptsOnly(cause)) return yield* Effect.failCause(cause)
    const { LogWriter } = yield* modules
    const log = new LogWriter(
      { level: "CRITICAL", format, flushMs: 0 },
      (text) => process.stderr.write(text)
    )
    const failure = Option.getOrUndefined(Cause.findErrorOption(cause))
    const exitCode = exitCodeOf(cause)
    // A defect is ours, and is shown whole.
    const problem = failure instanceof Error ? failure.message : Cause.pretty(cause)
    if (ready) log.write("CRITICAL", "serve", "fail", { problem, exit_code: exitCode })
    else log.write("CRITICAL", "start", "fail", { problem, exit_code: exitCode })
    return yield* new AlreadyTold({ exitCode })
  })

const run = Effect.fnUntraced(function*(onReady: () => void) {
  const {
    endOnSignals,
    fitToDescriptors,
    Lifetime,
    OperatorLog,
    requireProcesses,
    serverLayer,
    Settings
  } = yield* modules
  const settings = yield* Settings
  const log = yield* OperatorLog
  const lifetime = yield* Lifetime
  for (const flag of memoryFlags) v8.setFlagsFromString(flag)
  const { startGrace } = yield* endOnSignals(settings.shutdown.graceMs)
  log.write("INFO", "config", "success", {
    agencies: formatRoster(settings.lottery.agencies),
    ledger: settings.ledger.path,
    workers: settings.workers,
    parsers: settings.parsers.processes,
    log_level: settings.log.level
  })
  yield* requireProcesses(settings.parsers.processes)
  const fitted = yield* fitToDescriptors(settings)
  yield* Layer.build(Layer.provide(serverLayer, Layer.succeed(Settings, fitted)))
  yield* Effect.acquireRelease(
    Effect.sync(() => lifetime.setReady(true)),
    () => Effect.sync(() => lifetime.setReady(false))
  )
  log.write("INFO", "ready", "success", { start_ms: Math.round(process.uptime() * 1000) })
  onReady()
  // Whatever ends it: a shutdown that hangs would keep whoever restarts it waiting.
  yield* Effect.ensuring(lifetime.awaitEnd, Effect.sync(startGrace))
}, Effect.scoped)

export const serve = Command.make(
  "serve",
  { config, checkConfig },
  Effect.fnUntraced(function*(flags) {
    const { Lifetime, loadSettings, OperatorLog, requireProcesses, Settings } = yield* modules
    const load = loadSettings(flags.config, process.env)
    if (flags.checkConfig) {
      const { checkWithLedger } = yield* Effect.promise(() =>
        import("../services/admin/ConfigurationCheck.ts")
      )
      const found = yield* checkWithLedger(flags.config, yield* load)
      yield* Console.log(`${flags.config}: valid`)
      return yield* Console.log(found)
    }
    const settings = yield* requireProcesses(0).pipe(
      Effect.andThen(load),
      Effect.catch((error) => {
        const format = error._tag === "SettingsError" ? error.logFormat : undefined
        return tellAndFail(Cause.fail(error), format ?? "text", false)
      })
    )
    let ready = false
    return yield* run(() => (ready = true)).pipe(
      Effect.provide(
        Layer.mergeAll(OperatorLog.layer, Lifetime.layer).pipe(
          Layer.provideMerge(Layer.succeed(Settings, settings))
        )
      ),
      Effect.catchCause((cause) => tellAndFail(cause, settings.log.format, ready))
    )
  })
).pipe(Command.withDescription("Run the central"))
