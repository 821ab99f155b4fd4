/** `results`: bets and winners of each agency, or the winning bets, also while the central runs. */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { localTime } from "../domain/LocalTime.ts"
import type { LedgerAddress } from "../services/admin/LedgerAddress.ts"
import type { AgencyResult } from "../services/admin/LedgerReport.ts"
import type { HeldDraw } from "../services/admin/StoredLedger.ts"
import { ledgerAddress, reportFlags } from "./ConfigurationFlags.ts"
import { usualExitCodes } from "./Failure.ts"
import { jsonFlag, printJson } from "./Json.ts"
import { formatTable } from "./Table.ts"

const heldText = (drawName: string, draw: HeldDraw | undefined): string =>
  draw === undefined
    ? `\n  The draw ${drawName} has not been held.`
    : `\n  The draw ${drawName} was held at ${
      localTime(new Date(draw.heldAt))
    }: ${draw.winningNumber} won.`

/** Personal data: only this flag and `export` print them, and no log holds them. */
const showWinners = Effect.fnUntraced(function*(
  address: LedgerAddress,
  path: string,
  json: boolean
) {
  const { winningBets } = yield* Effect.promise(() => import("../services/admin/WinningBets.ts"))
  const report = yield* winningBets(address)
  if (json) return yield* printJson({ ledger: path, ...report })
  yield* Console.log(formatTable(
    ["agency", "bet", "document", "name"],
    report.winners.map(({ agency, document, firstName, lastName, position }) => [
      String(agency),
      position,
      document,
      `${firstName} ${lastName}`
    ])
  ))
  yield* Console.log(heldText(report.drawName, report.draw))
})

/** When and over which connection an agency was told its winners. */
const toldText = (told: AgencyResult["told"]): string => {
  if (told === undefined) return "-"
  const { address, at, how, port } = told
  const connection = `${address.includes(":") ? `[${address}]` : address}:${port}`
  return `${how === "sent" ? "not confirmed: " : ""}${at} ${connection}`
}

export const results = Command.make(
  "results",
  {
    ...reportFlags,
    winners: Flag.Boolean("winners").pipe(
      Flag.withDefault(false),
      Flag.withDescription(
        "List the winning bets with agency, position, document and name: personal data, on stdout"
      )
    ),
    json: jsonFlag
  },
  Effect.fnUntraced(function*({ json, ...flags }) {
    const { nameOf } = yield* Effect.promise(() => import("../services/admin/LedgerAddress.ts"))
    const address = yield* ledgerAddress(flags)
    const path = nameOf(address)
    if (flags.winners) return yield* showWinners(address, path, json)
    const report = yield* Effect.promise(() => import("../services/admin/LedgerReport.ts"))
    const { agencies, draw, drawName } = yield* report.results(address)
    if (json) return yield* printJson({ ledger: path, drawName, draw, agencies })
    const bets = agencies.reduce((total, row) => total + row.bets, 0)
    const finished = agencies.filter((row) => row.finished).length
    const winners = agencies.reduce((total, row) => total + (row.winners ?? 0), 0)
    const told = agencies.filter((row) => row.told?.how === "confirmed").length
    yield* Console.log(formatTable(
      ["agency", "bets", "finished", "winners", "told"],
      agencies.map((row) => [
        String(row.agency),
        row.bets,
        row.finished ? "yes" : "no",
        row.winners ?? "-",
        toldText(row.told)
      ]),
      [
        "all",
        bets,
        `${finished} of ${agencies.length}`,
        ...(draw === undefined ? ["-", "-"] : [winners, `${told} of ${agencies.length}`])
      ]
    ))
    yield* Console.log(heldText(drawName, draw))
    if (draw === undefined) return
    yield* Console.log(
      told === agencies.length
        ? "  Every agency has been told its winners."
        : `  ${told} of ${agencies.length} agencies have confirmed that they were told their winners.`
    )
  })
).pipe(
  Command.withDescription(
    "Show for every agency the number of its bets, whether it has finished, the number of its winners, and when and over "
      + "which connection it was told them. With --winners, show the winning bets. Works while the central runs. "
      + usualExitCodes
  ),
  Command.withShortDescription("Show bets and winners of every agency")
)
