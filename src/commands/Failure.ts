/** How a command that does not succeed ends: with which exit code, and who has reported why. */
import { Cause, Effect, Exit, Runtime, Schema } from "effect"
import { ExitCode } from "../services/base/ExitCode.ts"

/** The end of a command's help. */
export const usualExitCodes = "Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration."

/** Wrong usage, reported with the help. */
export class WrongUsage extends Schema.TaggedError<WrongUsage>()("WrongUsage", {}) {
  override readonly [Runtime.errorExitCode] = ExitCode.wrongUsage
  override readonly [Runtime.errorReported] = false
}

/** A failure that the command has reported itself. */
export class AlreadyReported
  extends Schema.TaggedError<AlreadyReported>()("AlreadyReported", { exitCode: Schema.Int })
{
  override readonly [Runtime.errorExitCode] = this.exitCode
  override readonly [Runtime.errorReported] = false
}

/** A signal is a request and not a failure, unless the command has set an exit code for it. */
export const exitCodeOf = (cause: Cause.Cause<unknown>): number =>
  Cause.hasInterruptsOnly(cause)
    ? Number(process.exitCode ?? ExitCode.done)
    : Runtime.getErrorExitCode(Cause.squash(cause))

export const teardown: Runtime.Teardown = (exit, onExit) =>
  onExit(Exit.isSuccess(exit) ? ExitCode.done : exitCodeOf(exit.cause))

/** The exit code and the message of a command that a signal cuts short: its work is not done. */
export const whenInterrupted =
  (exitCode: ExitCode, message: string) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.onInterrupt(work, () =>
      Effect.sync(() => {
        // An interrupted fiber cannot fail with an error of its own, so the process keeps the code.
        process.exitCode = exitCode
        process.stderr.write(`loteria: ${message}\n`)
      }))
