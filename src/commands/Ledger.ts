/** `ledger`: shows a ledger, checks it, copies it, and begins the next one. */
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
import { usualExitCodes } from "./Failure.ts"
import { jsonFlag, printJson } from "./Json.ts"
import { failWhenInterrupted } from "./NewFileFlags.ts"
import { counted } from "./Numbers.ts"

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
    `Show which lottery a ledger belongs to, and its progress. Works while the central runs. ${usualExitCodes}`
  ),
  Command.withShortDescription("Show which lottery a ledger belongs to")
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
    "Check a ledger: the structure of its file, every chunk and every bet, the counts, the draw and its winners. "
      + "Works while the central runs. Exit codes: 0 no problems, 1 problems (they are shown) or failed, "
      + "2 wrong usage, 78 wrong configuration."
  ),
  Command.withShortDescription("Check a ledger")
)

const backup = Command.make(
  "backup",
  {
    ...ledgerFlags,
    out: Flag.String("out").pipe(
      Flag.withDescription("The file to write; it must not exist, and appears when it is complete")
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
    `Copy a ledger as it is now, and check the copy. Works while the central runs. ${usualExitCodes}`
  ),
  Command.withShortDescription("Copy a ledger, even while the central runs")
)

const begin = Command.make(
  "begin",
  {
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
        "The draw's name; by default the configuration's, or one made of the current time"
      )
    ),
    yes: Flag.Boolean("yes").pipe(
      Flag.withDefault(false),
      Flag.withDescription(
        "Begin even if agencies have not confirmed their winners, or have finished without bets"
      )
    )
  },
  Effect.fnUntraced(function*(flags) {
    const { beginLedger } = yield* Effect.promise(() => import("../services/admin/NextLedger.ts"))
    const load = loadConfiguration(flags.config)
    // The configuration is needed only for what the flags leave out.
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
    // A draw needs no name, so without a configuration none is missing.
    const configuredDraw = Option.isSome(settings) ? settings.value.lottery.draw : undefined
    const { archive, draw } = yield* beginLedger(path, {
      roster,
      winningNumber,
      draw: Option.getOrUndefined(flags.draw) ?? configuredDraw
    }, flags.yes)
    if (archive !== undefined) yield* Console.log(`${archive}: the previous ledger`)
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
        `the configuration (${flags.config} and the environment) differs, and the central would refuse this ledger: `
          + `set ${differing.join(" and ")}`
      )
    }
  })
).pipe(
  Command.withDescription(
    "Begin the next lottery in a new ledger. An existing ledger is kept under a name with the time of its draw. Its draw "
      + "must have been held and its agencies must have confirmed that they were told their winners; --yes lifts the second "
      + "condition. A ledger without bets is replaced. No central may use the ledger. "
      + usualExitCodes
  ),
  Command.withShortDescription("Begin the next lottery in a new ledger"),
  Command.withExamples([{ command: "loteria ledger begin --winning-number 1234 --agencies 5" }])
)

export const ledger = Command.make("ledger").pipe(
  Command.withDescription("Show, check or copy a ledger, or begin the next one"),
  Command.withSubcommands([info, verify, backup, begin])
)
