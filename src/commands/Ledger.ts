/** `ledger`: look at a ledger, check it, back it up, begin the next one. */
import { Console, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { formatRoster, parseRoster } from "../domain/Agency.ts"
import { DrawName, WinningNumber } from "../domain/Draw.ts"
import { agenciesCeiling } from "../domain/Limits.ts"
import { localTime } from "../domain/LocalTime.ts"
import {
  configuredLedger,
  ledgerFlags,
  ledgerPath,
  loadConfiguration
} from "./ConfigurationFlags.ts"
import { jsonFlag, printJson } from "./Json.ts"
import { failWhenInterrupted } from "./NewFileFlags.ts"

const exitCodes = "Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration."

const counted = (value: number, one: string, more = `${one}s`): string =>
  `${value.toLocaleString("en-US")} ${value === 1 ? one : more}`

const info = Command.make(
  "info",
  { ...ledgerFlags, json: jsonFlag },
  Effect.fnUntraced(function*({ json, ...flags }) {
    const { ledgerInfo } = yield* Effect.promise(() => import("../services/admin/LedgerInfo.ts"))
    const ledger = yield* ledgerInfo(yield* ledgerPath(flags))
    if (json) {
      const { path, ...rest } = ledger
      return yield* printJson({ ledger: path, ...rest })
    }
    const { draw } = ledger
    const lines = [
      ["ledger", `${ledger.path} (${counted(ledger.bytes, "byte")})`],
      ["began", localTime(new Date(ledger.beganAt))],
      ["agencies", `${ledger.roster} (${ledger.finished} of ${ledger.agencies} finished)`],
      ["winning number", String(ledger.winningNumber)],
      ["bets", `${counted(ledger.bets, "bet")} in ${counted(ledger.chunks, "chunk")}`],
      [
        "draw",
        draw === undefined
          ? `${ledger.drawName}, not held`
          : `${ledger.drawName}, held ${localTime(new Date(draw.heldAt))} (${
            counted(draw.winners, "winner")
          })`
      ],
      ["told", draw === undefined ? "-" : `${ledger.told} of ${ledger.agencies} agencies`]
    ]
    for (const [name = "", value = ""] of lines) {
      yield* Console.log(`${`${name}:`.padEnd(16)}${value}`)
    }
  })
).pipe(
  Command.withDescription(
    `Show which lottery a ledger is of and how far it is. Works while the central runs. ${exitCodes}`
  ),
  Command.withShortDescription("Show which lottery a ledger is of")
)

const verify = Command.make(
  "verify",
  { ...ledgerFlags, json: jsonFlag },
  Effect.fnUntraced(function*({ json, ...flags }) {
    const { LedgerDamaged, verifyLedger } = yield* Effect.promise(() =>
      import("../services/admin/LedgerCheck.ts")
    )
    const path = yield* ledgerPath(flags)
    const verification = yield* verifyLedger(path)
    const { agencies, bets, chunks, drawHeld, finished, problemCount, problems } = verification
    if (json) {
      yield* printJson({ ledger: path, ...verification })
      if (problemCount > 0) return yield* new LedgerDamaged({ path, problems: problemCount })
      return
    }
    for (const problem of problems) yield* Console.log(`problem: ${problem}`)
    if (problemCount > problems.length) {
      yield* Console.log(`and ${counted(problemCount - problems.length, "problem")} more`)
    }
    yield* Console.log(
      `${path}: ${counted(bets, "bet")} in ${counted(chunks, "chunk")} `
        + `of ${counted(agencies, "agency", "agencies")}, ${finished} finished, `
        + `draw ${drawHeld ? "held" : "not held"}; ${counted(problemCount, "problem")}`
    )
    if (problemCount > 0) return yield* new LedgerDamaged({ path, problems: problemCount })
  }, failWhenInterrupted)
).pipe(
  Command.withDescription(
    "Check a ledger: the file's structure, every chunk and every bet in it, the counts, the draw and its winners. "
      + `Works while the central runs. Exit codes: 0 no problems, 1 problems (each is shown) or failed, `
      + "2 wrong usage, 78 wrong configuration."
  ),
  Command.withShortDescription("Check a ledger")
)

const backup = Command.make(
  "backup",
  {
    ...ledgerFlags,
    out: Flag.String("out").pipe(
      Flag.withDescription("The file to write, which must not exist and appears when it is whole")
    )
  },
  Effect.fnUntraced(function*({ out, ...flags }) {
    const { backupLedger } = yield* Effect.promise(() =>
      import("../services/admin/LedgerBackup.ts")
    )
    const path = yield* ledgerPath(flags)
    const ledgers = [yield* configuredLedger(flags.config)]
    const { bets, chunks } = yield* backupLedger(path, out, ledgers)
    yield* Console.log(`${out}: ${counted(bets, "bet")} in ${counted(chunks, "chunk")}, checked`)
  }, failWhenInterrupted)
).pipe(
  Command.withDescription(
    `Copy a ledger as it is at this moment, and check the copy. Works while the central runs. ${exitCodes}`
  ),
  Command.withShortDescription("Copy a ledger, also while the central runs")
)

const begin = Command.make(
  "begin",
  {
    ...ledgerFlags,
    winningNumber: Flag.Int("winning-number").pipe(
      Flag.withSchema(WinningNumber),
      Flag.optional,
      Flag.withDescription("The number that will win; the configuration's when absent")
    ),
    agencies: Flag.String("agencies").pipe(
      Flag.filterMap(
        (text) => parseRoster(text, agenciesCeiling),
        () => "expected a number of agencies (5 means 1 to 5) or their ids (3,5 or 3,)"
      ),
      Flag.optional,
      Flag.withDescription("Who takes part: 5 means 1 to 5; the configuration's when absent")
    ),
    draw: Flag.String("draw").pipe(
      Flag.withSchema(DrawName),
      Flag.optional,
      Flag.withDescription(
        "The draw's name; the configuration's when absent, or one from the time of day when that has none"
      )
    ),
    yes: Flag.Boolean("yes").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Also where agencies are not known to have been told their winners")
    )
  },
  Effect.fnUntraced(function*(flags) {
    const { beginLedger } = yield* Effect.promise(() => import("../services/admin/NextLedger.ts"))
    const load = loadConfiguration(flags.config)
    // The configuration is needed only for what isn't said.
    const settings = yield* Effect.option(load)
    const configured = Option.match(settings, {
      onNone: () => Effect.map(load, ({ lottery }) => lottery),
      onSome: ({ lottery }) => Effect.succeed(lottery)
    })
    const path = yield* ledgerPath(flags)
    const winningNumber = Option.isSome(flags.winningNumber)
      ? flags.winningNumber.value
      : (yield* configured).winningNumber
    const roster = Option.isSome(flags.agencies)
      ? flags.agencies.value
      : (yield* configured).agencies
    // Without a configuration the draw has no configured name: that must not stop who has said the rest.
    const configuredDraw = Option.isSome(settings) ? settings.value.lottery.draw : undefined
    const { archive, draw } = yield* beginLedger(path, {
      roster,
      winningNumber,
      draw: Option.getOrUndefined(flags.draw) ?? configuredDraw
    }, flags.yes)
    if (archive !== undefined) yield* Console.log(`${archive}: the ledger that was there`)
    const agencies = formatRoster(roster)
    yield* Console.log(
      `${path}: draw ${draw}, agencies ${agencies}, winning number ${winningNumber}`
    )
    if (Option.isNone(settings)) return
    const { lottery } = settings.value
    const differing = [
      ...(formatRoster(lottery.agencies) === agencies ? [] : [`lottery.agencies: ${agencies}`]),
      ...(lottery.winningNumber === winningNumber
        ? []
        : [`lottery.winningNumber: ${winningNumber}`]),
      ...(lottery.draw === undefined || lottery.draw === draw ? [] : [`lottery.draw: ${draw}`])
    ]
    if (differing.length > 0) {
      yield* Console.log(
        `the configuration (${flags.config} and the environment) says something else, and the central would refuse `
          + `this ledger: set ${differing.join(" and ")}`
      )
    }
  })
).pipe(
  Command.withDescription(
    "Begin the next lottery in a new ledger. A ledger that is there is kept under a name with the time of its draw, which "
      + "must have been held, and whose agencies must have been told their winners, or --yes is wanted; one without bets is "
      + "begun anew. No central may be running on it. "
      + exitCodes
  ),
  Command.withShortDescription("Begin the next lottery in a new ledger"),
  Command.withExamples([{ command: "loteria ledger begin --winning-number 1234 --agencies 5" }])
)

export const ledger = Command.make("ledger").pipe(
  Command.withDescription("Look at a ledger, check it, back it up, begin the next one"),
  Command.withSubcommands([info, verify, backup, begin])
)
