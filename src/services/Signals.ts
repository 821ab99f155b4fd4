/**
 * SIGTERM and SIGINT. The runner interrupts the program on the first, which closes the scope in good order; here it is
 * logged and given a bound. A second signal, or the end of the grace period, ends the process at once with code 1:
 * what was acknowledged is on disk, and parser children end by themselves.
 */
import { Effect, type Scope } from "effect"
import { OperatorLog } from "./OperatorLog.ts"

const signals = ["SIGTERM", "SIGINT"] as const

export const endOnSignals = (
  graceMs: number
): Effect.Effect<void, never, OperatorLog | Scope.Scope> =>
  Effect.gen(function*() {
    const log = yield* OperatorLog
    let received = 0
    let watchdog: NodeJS.Timeout | undefined
    const endNow = (details: { readonly [name: string]: string | number }) => {
      log.write("ERROR", "shutdown", "fail", details)
      process.exit(1)
    }
    const onSignal = (signal: NodeJS.Signals) => {
      log.write("INFO", "signal_received", "success", { signal })
      log.flush()
      received++
      if (received > 1) return endNow({ detail: "cut short by a second signal" })
      watchdog = setTimeout(
        () => endNow({ detail: "the grace period is over", grace_ms: graceMs }),
        graceMs
      )
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        // Before the runner's listener, so that the signal is logged before what it brings about.
        for (const signal of signals) process.prependListener(signal, onSignal)
      }),
      () =>
        Effect.sync(() => {
          clearTimeout(watchdog)
          for (const signal of signals) process.removeListener(signal, onSignal)
        })
    )
  })
