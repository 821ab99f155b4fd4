/**
 * The command line as a program: platform, command tree, exit codes. The runner interrupts the command on the first
 * SIGTERM or SIGINT; what it had open is then closed in the reverse order of opening.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Console, Effect, Exit, Option, type Runtime } from "effect"
import { CliError } from "effect/cli"
import { cli } from "./cli.ts"
import { AlreadyTold, exitCodeOf, exitCodes } from "./commands/Failure.ts"

/** An expected failure is one line for people; a defect is ours, and is shown whole. */
const report = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.void
  const failure = Option.getOrUndefined(Cause.findErrorOption(cause))
  if (failure === undefined) return Console.error(Cause.pretty(cause))
  if (CliError.isCliError(failure) || failure instanceof AlreadyTold) return Effect.void
  return Console.error(`loteria: ${failure instanceof Error ? failure.message : String(failure)}`)
}

const teardown: Runtime.Teardown = (exit, onExit) =>
  onExit(Exit.isSuccess(exit) ? exitCodes.done : exitCodeOf(exit.cause))

/** Runs the command that the arguments name, and ends the process with its exit code. */
export const runProgram = (): void =>
  cli.pipe(
    Effect.tapCause(report),
    Effect.provide(NodeServices.layer),
    NodeRuntime.runMain({ disableErrorReporting: true, teardown })
  )
