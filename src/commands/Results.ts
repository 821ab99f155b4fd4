/** `results`: what the ledger says of each agency, also while the central runs. */
import { Console, Effect } from "effect"
import { Command } from "effect/cli"
import { ledgerFlags, ledgerPath } from "./Flags.ts"
import { formatTable } from "./Table.ts"

export const results = Command.make(
  "results",
  ledgerFlags,
  Effect.fnUntraced(function*(flags) {
    const path = yield* ledgerPath(flags)
    const report = yield* Effect.promise(() => import("../services/LedgerReport.ts"))
    const { agencies, draw, drawName } = yield* report.results(path)
    const bets = agencies.reduce((total, row) => total + row.bets, 0)
    const finished = agencies.filter((row) => row.finished).length
    const winners = agencies.reduce((total, row) => total + (row.winners ?? 0), 0)
    yield* Console.log(formatTable(
      ["agency", "bets", "finished", "winners"],
      agencies.map((row) => [
        String(row.agency),
        row.bets,
        row.finished ? "yes" : "no",
        row.winners ?? "-"
      ]),
      ["all", bets, `${finished} of ${agencies.length}`, draw === undefined ? "-" : winners]
    ))
    yield* Console.log(
      draw === undefined
        ? `\n  The draw ${drawName} has not been held.`
        : `\n  The draw ${drawName} was held at ${draw.heldAt}: ${draw.winningNumber} won.`
    )
  })
).pipe(
  Command.withDescription(
    "Show what the ledger holds of every agency: bets, whether it has finished, winners. Works while the central runs. "
      + "Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration."
  ),
  Command.withShortDescription("Show bets and winners of every agency")
)
