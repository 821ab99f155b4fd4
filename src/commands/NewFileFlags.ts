/** What commands that write a file have in common. */
import { Effect } from "effect"
import { Flag } from "effect/cli"
import { ExitCode } from "../services/base/ExitCode.ts"
import { whenInterrupted } from "./Failure.ts"

export const outFlag = Flag.String("out").pipe(
  Flag.optional,
  Flag.withDescription("The file to write; it appears when it is complete. stdout by default")
)

export const forceFlag = Flag.Boolean("force").pipe(
  Flag.withDefault(false),
  Flag.withDescription("Replace existing files, but never a ledger's")
)

const onHangup = (): void => {
  process.kill(process.pid, "SIGTERM")
}

/**
 * Fails with exit code 1 when a signal cuts the command short. SIGHUP, which a closed terminal sends, would end the
 * process at once and leave a partial file behind: it is handled like SIGTERM.
 */
export const failWhenInterrupted = <A, E, R>(
  work: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      process.on("SIGHUP", onHangup)
    }),
    () => whenInterrupted(ExitCode.failed, "interrupted before it was done")(work),
    () =>
      Effect.sync(() => {
        process.removeListener("SIGHUP", onHangup)
      })
  )
