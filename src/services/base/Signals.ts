/**
 * Signals that end the program: SIGTERM, SIGINT, and SIGHUP, which a closed terminal sends. On the first one the runner
 * interrupts the program, which closes its scope in order; this file logs the signal and bounds the time for closing. A
 * second signal, or the end of the grace period, ends the process at once with code 1: everything acknowledged is on
 * disk, and parser children end by themselves.
 *
 * One Ctrl-C can arrive twice: from the terminal, which signals the whole process group, and from npm, which forwards
 * it; `timeout` signals both the program and its group. So a signal right after the first counts as the same one.
 */
import { Effect, type Scope } from "effect"
import { OperatorLog } from "./OperatorLog.ts"

const signals = ["SIGTERM", "SIGINT", "SIGHUP"] as const

/** Programs forward a signal within milliseconds; a person who sends a second one takes longer. */
const sameSignalMs = 500

/** Handles the signals for the scope. `startGrace` starts the grace period for a shutdown without a signal. */
export const endOnSignals = (
  graceMs: number
): Effect.Effect<{ readonly startGrace: () => void }, never, OperatorLog | Scope.Scope> =>
  Effect.gen(function*() {
    const log = yield* OperatorLog
    let firstAt: number | undefined
    let watchdog: NodeJS.Timeout | undefined
    const endNow = (details: { readonly [name: string]: string | number }) => {
      log.write("ERROR", "shutdown", "fail", details)
      process.exit(1)
    }
    const startGrace = () => {
      watchdog ??= setTimeout(
        () => endNow({ detail: "the grace period is over", grace_ms: graceMs }),
        graceMs
      )
    }
    const onSignal = (signal: NodeJS.Signals) => {
      const now = performance.now()
      if (firstAt !== undefined && now - firstAt < sameSignalMs) return
      log.write("INFO", "signal_received", "success", { signal })
      log.flush()
      if (firstAt !== undefined) return endNow({ detail: "cut short by a second signal" })
      firstAt = now
      startGrace()
      // The runner handles SIGTERM but not SIGHUP. Here it arrives right after the first, and so counts as the same.
      if (signal === "SIGHUP") process.emit("SIGTERM", "SIGTERM")
    }
    // SIGUSR2 would end the process by default, and some tools send it to every process.
    const ignored = () => log.write("DEBUG", "signal_received", "ignored", { signal: "SIGUSR2" })
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        // Prepended to the runner's listeners, so that the signal is logged before its effects.
        for (const signal of signals) process.prependListener(signal, onSignal)
        process.on("SIGUSR2", ignored)
      }),
      () =>
        Effect.sync(() => {
          clearTimeout(watchdog)
          for (const signal of signals) process.removeListener(signal, onSignal)
          process.removeListener("SIGUSR2", ignored)
        })
    )
    return { startGrace }
  })
