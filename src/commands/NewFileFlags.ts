/** What commands that write a file have in common. */
import { Effect } from "effect"
import { Flag } from "effect/cli"

export const forceFlag = Flag.Boolean("force").pipe(
  Flag.withDefault(false),
  Flag.withDescription("Replace files that are there; a ledger's files never are")
)

/** The ledger that a configuration or the environment names; without either, the usual one. */
export const configuredLedger = (config: string): Effect.Effect<string> =>
  Effect.gen(function*() {
    const { loadSettings } = yield* Effect.promise(() => import("../services/base/Settings.ts"))
    return (yield* loadSettings(config, process.env)).ledger.path
  }).pipe(
    Effect.orElseSucceed(() => process.env["LEDGER_PATH"] || "data/ledger.sqlite")
  )

const endInOrder = (): void => {
  process.kill(process.pid, "SIGTERM")
}

/**
 * A command that a signal has cut short hasn't done what it was asked for, and must not say 0. The end of its terminal
 * is such a signal too: by itself it would end the process at once, and leave what isn't whole.
 */
export const failWhenInterrupted = <A, E, R>(
  work: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      process.on("SIGHUP", endInOrder)
    }),
    () =>
      Effect.onInterrupt(work, () =>
        Effect.sync(() => {
          process.exitCode = 1
          process.stderr.write("loteria: interrupted before it was done\n")
        })),
    () =>
      Effect.sync(() => {
        process.removeListener("SIGHUP", endInOrder)
      })
  )
