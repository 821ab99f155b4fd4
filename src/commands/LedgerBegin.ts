/** `ledger begin`: begins the next lottery in a new ledger. */
import { Console, Effect, Option, Result } from "effect"
import { Command, Flag } from "effect/cli"
import { formatRoster, parseRoster } from "../domain/Agency.ts"
import { DrawName, WinningNumber } from "../domain/Draw.ts"
import { agenciesCeiling } from "../domain/Limits.ts"
import type { SettingsShape } from "../services/base/Settings.ts"
import { ledgerAddress, ledgerFlags, loadConfiguration } from "./ConfigurationFlags.ts"
import { usualExitCodes } from "./Failure.ts"

const beginFlags = {
  ...ledgerFlags,
  winningNumber: Flag.Int("winning-number").pipe(
    Flag.withSchema(WinningNumber),
    Flag.optional,
    Flag.withDescription("The winning number; by default the configuration's")
  ),
  agencies: Flag.String("agencies").pipe(
    Flag.filterMap(
      (text) => parseRoster(text, agenciesCeiling),
      () => "expected a number of agencies (5 means 1 to 5) or their ids (3,5 or 3,)"
    ),
    Flag.optional,
    Flag.withDescription(
      "The agencies: 5 means 1 to 5, and 3,5 names two; by default the configuration's"
    )
  ),
  draw: Flag.String("draw").pipe(
    Flag.withSchema(DrawName),
    Flag.optional,
    Flag.withDescription(
      "The name of the next draw, which begins now; by default the configuration's, or one made of the current time"
    )
  ),
  yes: Flag.Boolean("yes").pipe(
    Flag.withDefault(false),
    Flag.withDescription(
      "Begin even if agencies have not confirmed their winners, or have finished without bets"
    )
  )
}

type Lottery = SettingsShape["lottery"]

/** The settings to change so that the central accepts the ledger that was begun. */
const differences = (
  configured: Lottery,
  begun: { readonly agencies: string; readonly winningNumber: number; readonly draw: string }
): ReadonlyArray<string> => {
  const { agencies, draw, winningNumber } = configured
  return [
    ...(formatRoster(agencies) === begun.agencies ? [] : [`lottery.agencies: ${begun.agencies}`]),
    ...(winningNumber === begun.winningNumber
      ? []
      : [`lottery.winningNumber: ${begun.winningNumber}`]),
    ...(draw === undefined || draw === begun.draw ? [] : [`lottery.draw: ${begun.draw}`])
  ]
}

export const begin = Command.make(
  "begin",
  beginFlags,
  Effect.fnUntraced(function*(flags) {
    const { beginLedger } = yield* Effect.promise(() => import("../services/admin/NextLedger.ts"))
    const { nameOf } = yield* Effect.promise(() => import("../services/admin/LedgerAddress.ts"))
    // The configuration is needed only for what the flags leave out; a draw needs no name.
    const settings = yield* Effect.result(loadConfiguration(flags.config))
    const configured = Result.map(settings, ({ lottery }) => lottery)
    const flagOr = <A>(flag: Option.Option<A>, setting: (lottery: Lottery) => A) =>
      Effect.fromResult(
        Option.isSome(flag) ? Result.succeed(flag.value) : Result.map(configured, setting)
      )
    const configuredDraw = Result.isSuccess(configured) ? configured.success.draw : undefined
    // The flag --draw names the next draw, not the last.
    const address = yield* ledgerAddress({ ledger: flags.ledger, config: flags.config })
    const winningNumber = yield* flagOr(flags.winningNumber, (lottery) => lottery.winningNumber)
    const roster = yield* flagOr(flags.agencies, (lottery) => lottery.agencies)
    const { archive, beside, draw } = yield* beginLedger(address, {
      roster,
      winningNumber,
      draw: Option.getOrUndefined(flags.draw) ?? configuredDraw
    }, flags.yes)
    if (archive !== undefined) yield* Console.log(`${archive}: the previous ledger`)
    const agencies = formatRoster(roster)
    yield* Console.log(
      `${nameOf(address)}: draw ${draw}, agencies ${agencies}, winning number ${winningNumber}`
    )
    if (beside !== undefined) {
      yield* Console.log(
        `servers that run go on with draw ${beside}: when its agencies have been told, stop them all, and start them again`
      )
    }
    if (Result.isFailure(configured)) return
    const differing = differences(configured.success, { agencies, winningNumber, draw })
    if (differing.length > 0) {
      yield* Console.log(
        `the configuration (${flags.config} and the environment) differs, and a central that starts with it would `
          + `${typeof address === "string" ? "refuse this ledger" : "not serve this draw"}: `
          + `set ${differing.join(" and ")}`
      )
    }
  })
).pipe(
  Command.withDescription(
    "Begin the next lottery in a new ledger. An existing ledger is kept under a name with the time of its draw; in a "
      + "database it stays as it is, under the name of its draw. Its draw "
      + "must have been held and its agencies must have confirmed that they were told their winners; --yes lifts the second "
      + "condition. A ledger without bets is replaced. No central may use a ledger's file meanwhile; of a database only a "
      + "lottery without bets needs its servers stopped: others go on with the draw that they serve. "
      + usualExitCodes
  ),
  Command.withShortDescription("Begin the next lottery in a new ledger"),
  Command.withExamples([{ command: "loteria ledger begin --winning-number 1234 --agencies 5" }])
)
