/** `consult`: asks for an agency's winners until the draw has been held, and prints them. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { agencyFlags } from "./AgencyFlags.ts"

export const consult = Command.make(
  "consult",
  agencyFlags,
  Effect.fnUntraced(function*(flags) {
    const { runConsult } = yield* Effect.promise(() => import("./AgencyRun.ts"))
    yield* runConsult(flags)
  })
).pipe(
  Command.withDescription(
    "Wait for the draw and print the documents of the agency's winning bets, one a line. The log goes to standard error. "
      + "Between its questions it holds no connection. After the draw the answer is always the same. "
      + "Exit codes: 0 done, 1 failed, 2 wrong usage, 75 ended by a signal before the winners were printed."
  ),
  Command.withShortDescription("Print an agency's winners"),
  Command.withExamples([{ command: "loteria consult --id 3 --consult central:12346" }])
)
