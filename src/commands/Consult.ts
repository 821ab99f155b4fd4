/** `consult`: asks for an agency's winners until the draw has been held, and prints them. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { agencyFlags, openAgency, printText, printWinners } from "./AgencyFlags.ts"

export const consult = Command.make(
  "consult",
  agencyFlags,
  Effect.fnUntraced(function*(flags) {
    const { winners } = yield* openAgency(flags, printText)
    yield* printWinners(yield* winners)
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Wait for the draw and print the documents of the agency's winning bets, one a line, after the log. It asks again and "
      + "again and holds no connection meanwhile; asked after the draw, it always gets the same. "
      + "Exit codes: 0 done or ended by a signal, 1 failed, 2 wrong usage."
  ),
  Command.withShortDescription("Print an agency's winners"),
  Command.withExamples([{ command: "loteria consult --id 3 --consult central:12346" }])
)
