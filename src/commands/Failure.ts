/** How a command that failed ends: the exit code, and who has said why. */
import { Cause, Runtime, Schema } from "effect"
import { CliError } from "effect/cli"

export const exitCodes = { done: 0, failed: 1, wrongUsage: 2, wrongConfiguration: 78 } as const

/** By name, so that no command's errors need to be loaded to know them. */
const configurationErrors: ReadonlySet<string> = new Set(["SettingsError", "LedgerMismatch"])

/** A failure that the command itself has told of. */
export class AlreadyTold extends Schema.TaggedError<AlreadyTold>()("AlreadyTold", {
  exitCode: Schema.Int
}) {}

export const exitCodeOf = (cause: Cause.Cause<unknown>): number => {
  // A signal was asked for, not a failure, unless the command says that it was cut short.
  if (Cause.hasInterruptsOnly(cause)) return Number(process.exitCode ?? exitCodes.done)
  const error = Cause.squash(cause)
  if (error instanceof AlreadyTold) return error.exitCode
  if (CliError.isCliError(error)) {
    return Runtime.getErrorExitCode(error) === 0 ? exitCodes.done : exitCodes.wrongUsage
  }
  return error instanceof Error && configurationErrors.has(error.name)
    ? exitCodes.wrongConfiguration
    : Runtime.getErrorExitCode(error)
}
