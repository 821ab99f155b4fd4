/** `ledger`: shows a ledger, checks it, backs it up, copies it (LedgerCopy.ts), and begins the next one (LedgerBegin.ts). */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { localTime } from "../domain/LocalTime.ts"
import { configuredLedger, ledgerAddress, ledgerFlags, reportFlags } from "./ConfigurationFlags.ts"
import { usualExitCodes } from "./Failure.ts"
import { jsonFlag, printJson } from "./Json.ts"
import { begin } from "./LedgerBegin.ts"
import { copy } from "./LedgerCopy.ts"
import { failWhenInterrupted } from "./NewFileFlags.ts"
import { counted } from "./Numbers.ts"

/** More names than this are counted. */
const namedMax = 10

const namesOf = (draws: ReadonlyArray<string>): string => {
  const more = draws.length - namedMax
  return `${draws.slice(0, namedMax).join(", ")}${more > 0 ? ` and ${more} more` : ""}`
}

const info = Command.make(
  "info",
  { ...reportFlags, json: jsonFlag },
  Effect.fnUntraced(function*({ json, ...flags }) {
    const { ledgerInfo } = yield* Effect.promise(() => import("../services/admin/LedgerInfo.ts"))
    const ledger = yield* ledgerInfo(yield* ledgerAddress(flags))
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
      ["told", draw === undefined ? "-" : `${ledger.told} of ${ledger.agencies} agencies`],
      ...(ledger.otherDraws.length === 0 ? [] : [["other draws", namesOf(ledger.otherDraws)]])
    ]
    for (const [name = "", value = ""] of lines) {
      yield* Console.log(`${`${name}:`.padEnd(16)}${value}`)
    }
  })
).pipe(
  Command.withDescription(
    `Show which lottery a ledger belongs to, its progress, and which other draws its database holds. Works while the central runs. ${usualExitCodes}`
  ),
  Command.withShortDescription("Show which lottery a ledger belongs to")
)

const verify = Command.make(
  "verify",
  { ...reportFlags, json: jsonFlag },
  Effect.fnUntraced(function*({ json, ...flags }) {
    const { verifyLedger } = yield* Effect.promise(() => import("../services/admin/LedgerCheck.ts"))
    const { LedgerDamaged } = yield* Effect.promise(() =>
      import("../services/admin/Verification.ts")
    )
    const { nameOf } = yield* Effect.promise(() => import("../services/admin/LedgerAddress.ts"))
    const address = yield* ledgerAddress(flags)
    const path = nameOf(address)
    const verification = yield* verifyLedger(address)
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
    "Check a ledger: the structure of its file, or the rows of its database, every chunk and every bet, the counts, the draw and its winners. "
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
    const address = yield* ledgerAddress(flags)
    const ledgers = [yield* configuredLedger(flags.config)]
    const { bets, chunks } = yield* backupLedger(address, out, ledgers)
    yield* Console.log(`${out}: ${counted(bets, "bet")} in ${counted(chunks, "chunk")}, checked`)
  }, failWhenInterrupted)
).pipe(
  Command.withDescription(
    "Copy a ledger's file as it is now, and check the copy. Works while the central runs. A database is backed up with "
      + `PostgreSQL's own programs. ${usualExitCodes}`
  ),
  Command.withShortDescription("Copy a ledger, even while the central runs")
)

export const ledger = Command.make("ledger").pipe(
  Command.withDescription("Show, check or copy a ledger, or begin the next one"),
  Command.withSubcommands([info, verify, backup, copy, begin])
)
