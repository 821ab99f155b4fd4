/**
 * The command line as a program: platform, command tree, exit code. The runner interrupts the command on the first
 * SIGTERM or SIGINT; its resources are then released in the reverse order of their acquisition.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Console, Effect, Option, Runtime } from "effect"
import { cli } from "./cli.ts"
import { teardown } from "./commands/Failure.ts"

/** An expected failure is reported in one line; a defect is a bug, and its whole cause is shown. */
const report = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.void
  const failure = Option.getOrUndefined(Cause.findErrorOption(cause))
  if (failure === undefined) return Console.error(Cause.pretty(cause))
  if (!Runtime.getErrorReported(failure)) return Effect.void
  return Console.error(`loteria: ${failure instanceof Error ? failure.message : String(failure)}`)
}

/** Runs the command that the arguments name, and ends the process with its exit code. */
export const runProgram = (): void =>
  cli.pipe(
    Effect.tapCause(report),
    Effect.provide(NodeServices.layer),
    NodeRuntime.runMain({ disableErrorReporting: true, teardown })
  )
