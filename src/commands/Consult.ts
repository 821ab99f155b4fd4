/** `consult`: asks for an agency's winners until the draw has been held, and prints them. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import {
  type AgencyFlags,
  agencyFlags,
  barOnTerminal,
  openAgency,
  printWinners,
  showing,
  untilWinners
} from "./AgencyFlags.ts"

const askWinners = Effect.fnUntraced(function*(flags: AgencyFlags) {
  const bar = yield* barOnTerminal(process.stderr)
  const { winners } = yield* openAgency(flags, bar)
  yield* printWinners(yield* showing(bar, "waiting for the draw", winners))
})

export const consult = Command.make(
  "consult",
  agencyFlags,
  (flags) => askWinners(flags).pipe(untilWinners(flags.id), Effect.scoped)
).pipe(
  Command.withDescription(
    "Wait for the draw and print the documents of the agency's winning bets, one a line; the log is on standard error. "
      + "It asks again and again and holds no connection meanwhile; asked after the draw, it always gets the same. "
      + "Exit codes: 0 done, 1 failed, 2 wrong usage, 75 ended by a signal before the winners were printed."
  ),
  Command.withShortDescription("Print an agency's winners"),
  Command.withExamples([{ command: "loteria consult --id 3 --consult central:12346" }])
)
