/** The progress bar of a command, on an output that somebody watches. */
import { Effect, Scope } from "effect"
import type { ProgressBar } from "../services/agency/ProgressBar.ts"

/** A bar on an output that is a terminal with a size and a cursor that can move; otherwise none. */
export const barOnTerminal = Effect.fnUntraced(function*(output: NodeJS.WriteStream) {
  if (!output.isTTY || !output.columns || process.env["TERM"] === "dumb") return
  const { ProgressBar } = yield* Effect.promise(() => import("../services/agency/ProgressBar.ts"))
  return new ProgressBar(output)
})

/** Shows on the bar, if there is one, what the effect waits for. */
export const showing = <A, E, R>(
  bar: ProgressBar | undefined,
  what: string,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  bar === undefined
    ? effect
    // A scope for the bar alone: what the effect opens outlives it.
    : Effect.acquireUseRelease(
      Scope.make(),
      (scope) => Effect.andThen(Scope.provide(bar.wait(what), scope), effect),
      Scope.close
    )
