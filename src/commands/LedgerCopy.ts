/** `ledger copy`: moves a lottery from a file into a database, or back. */
import { Console, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { readAddress } from "./ConfigurationFlags.ts"
import { usualExitCodes } from "./Failure.ts"
import { failWhenInterrupted } from "./NewFileFlags.ts"
import { counted } from "./Numbers.ts"

export const copy = Command.make(
  "copy",
  {
    from: Flag.String("from").pipe(
      Flag.withDescription("The ledger to copy: a file, or the URL of a database (postgres://…)")
    ),
    to: Flag.String("to").pipe(
      Flag.withDescription(
        "Where to: a file that doesn't exist, or the URL of a database, in which the copy gets the draw's name"
      )
    ),
    draw: Flag.String("draw").pipe(
      Flag.optional,
      Flag.withDescription(
        "The draw's name, where the database to copy from holds several; by default the one that began last"
      )
    )
  },
  Effect.fnUntraced(function*({ draw, from, to }) {
    const { copyLedger } = yield* Effect.promise(() => import("../services/admin/LedgerCopy.ts"))
    const { nameOf } = yield* Effect.promise(() => import("../services/admin/LedgerAddress.ts"))
    const source = yield* readAddress("--from", from, Option.getOrUndefined(draw))
    const target = yield* readAddress("--to", to)
    const { bets, chunks, chunksBefore, drawName } = yield* copyLedger(source, target)
    const before = chunksBefore === 0
      ? ""
      : `, of which ${counted(chunksBefore, "chunk")} were there`
    yield* Console.log(
      `${nameOf(target)}: draw ${drawName}, ${counted(bets, "bet")} in ${
        counted(chunks, "chunk")
      }${before}, `
        + `compared row for row with ${nameOf(source)}`
    )
  }, failWhenInterrupted)
).pipe(
  Command.withDescription(
    "Copy a lottery with its bets, its draw, and who was told, between a file and a database, or between two of either; then "
      + "compare every row. Stop its servers first, and those of the target's database: it is refused while they run. What a copy that was cut short has left can't be served: run the same "
      + "command again, which compares what is there and continues. A target that holds anything else, or that a central "
      + "uses, is left as it is. Give a password in "
      + "LEDGER_PASSWORD or the file LEDGER_PASSWORD_FILE, which serve both URLs: every user of the machine can see one that is "
      + "in a URL on the command line. "
      + usualExitCodes
  ),
  Command.withShortDescription("Copy a lottery between a file and a database"),
  Command.withExamples([{
    command:
      "loteria ledger copy --from data/ledger.sqlite --to postgres://loteria@db.example/lottery?sslmode=verify-full"
  }])
)
