/**
 * What ends the program from outside: SIGTERM, SIGINT, and SIGHUP, with which a terminal says that it was closed. The
 * runner interrupts the program, which closes the scope in good order; here the signal is logged and the end is given a
 * bound. A second signal, or the end of the grace period, ends the process at once with code 1: what was acknowledged is
 * on disk, and parser children end by themselves.
 *
 * One Ctrl-C can come twice: from the terminal, which sends it to the whole process group, and from npm, which hands it
 * on; and `timeout` sends its signal to the program and to its group. So a signal right after the first is the same one.
 */
import { Effect, type Scope } from "effect"
import { OperatorLog } from "./OperatorLog.ts"

const signals = ["SIGTERM", "SIGINT", "SIGHUP"] as const

/** Programs hand a signal on within milliseconds; a person who insists takes longer. */
const sameSignalMs = 500

/** Ends the process when a signal's end, or another that `startGrace` begins, takes too long. */
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
      // The runner doesn't know this one. For us it comes right after the first, and is the same.
      if (signal === "SIGHUP") process.emit("SIGTERM", "SIGTERM")
    }
    // By default it ends a process at once; tools send it to whatever runs.
    const ignored = () => log.write("DEBUG", "signal_received", "ignored", { signal: "SIGUSR2" })
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        // Before the runner's listener, so that the signal is logged before what it brings about.
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
