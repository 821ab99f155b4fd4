/** What `serve` does: starts the central with its configuration, waits for its end, and reports why it failed. */
import { Cause, Effect, Layer, Option } from "effect"
import * as v8 from "node:v8"
import { formatRoster } from "../domain/Agency.ts"
import { fitToDescriptors } from "../services/base/Descriptors.ts"
import { ledgerName } from "../services/base/LedgerSettings.ts"
import { Lifetime } from "../services/base/Lifetime.ts"
import { LogWriter, OperatorLog } from "../services/base/OperatorLog.ts"
import { requireProcesses } from "../services/base/Processes.ts"
import { loadSettings, Settings } from "../services/base/Settings.ts"
import { endOnSignals } from "../services/base/Signals.ts"
import { serverLayer } from "../services/Server.ts"
import { AlreadyReported, exitCodeOf } from "./Failure.ts"

/**
 * Every chunk passes through buffers outside V8's heap that are garbage a few milliseconds later. V8 counts them
 * towards the heap's limit, and with its defaults it marked the whole heap up to twenty times a second under load:
 * 170 µs of CPU per chunk of 1,000 bets. When the heap may grow to four times its live size it is 70 µs; when young
 * objects are collected as soon as a tenth of their space is used, so that their buffers don't pile up, 17 µs.
 */
const memoryFlags = ["--heap-growing-percent=300", "--minor-gc-task-trigger=10"]

/**
 * Reports a failure as a line of the log, where operators look for warnings; on stderr, where it is seen also when
 * stdout is kept in a file.
 */
const reportAndFail = <E>(
  cause: Cause.Cause<E>,
  format: "text" | "json",
  phase: "start" | "serve"
): Effect.Effect<never, E | AlreadyReported> =>
  Effect.suspend((): Effect.Effect<never, E | AlreadyReported> => {
    if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause)
    const log = new LogWriter(
      { level: "CRITICAL", format, flushMs: 0 },
      (text) => process.stderr.write(text)
    )
    const failure = Option.getOrUndefined(Cause.findErrorOption(cause))
    const exitCode = exitCodeOf(cause)
    // A defect is a bug, and its whole cause is shown.
    const problem = failure instanceof Error ? failure.message : Cause.pretty(cause)
    const details = { problem, exit_code: exitCode }
    if (phase === "start") log.write("CRITICAL", "start", "fail", details)
    else log.write("CRITICAL", "serve", "fail", details)
    return Effect.fail(new AlreadyReported({ exitCode }))
  })

const serve = Effect.fnUntraced(function*(onReady: () => void) {
  const settings = yield* Settings
  const log = yield* OperatorLog
  const lifetime = yield* Lifetime
  for (const flag of memoryFlags) v8.setFlagsFromString(flag)
  const { startGrace } = yield* endOnSignals(settings.shutdown.graceMs)
  log.write("INFO", "config", "success", {
    agencies: formatRoster(settings.lottery.agencies),
    ledger: ledgerName(settings.ledger),
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
  // The grace period bounds the shutdown whatever begins it, not only a signal.
  yield* Effect.ensuring(lifetime.awaitEnd, Effect.sync(startGrace))
}, Effect.scoped)

/** Parsers take what strangers send: they needn't inherit the password of the database. */
const secretVariables = ["LEDGER_PASSWORD", "LEDGER_URL"]

/** Runs the central with this configuration file until its end. */
export const runCentral = Effect.fnUntraced(function*(config: string) {
  const settings = yield* requireProcesses(0).pipe(
    Effect.andThen(loadSettings(config, process.env)),
    Effect.catch((error) => {
      const format = error._tag === "SettingsError" ? error.logFormat : undefined
      return reportAndFail(Cause.fail(error), format ?? "text", "start")
    })
  )
  for (const name of secretVariables) delete process.env[name]
  let ready = false
  yield* serve(() => (ready = true)).pipe(
    Effect.provide(
      Layer.mergeAll(OperatorLog.layer(settings.log), Lifetime.layer).pipe(
        Layer.provideMerge(Layer.succeed(Settings, settings))
      )
    ),
    Effect.catchCause((cause) =>
      reportAndFail(cause, settings.log.format, ready ? "serve" : "start")
    )
  )
})
