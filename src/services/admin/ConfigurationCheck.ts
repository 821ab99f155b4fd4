/**
 * Whether the central would run with a configuration on the ledger that it names. Reads only, also while a central runs
 * on that ledger, and says of a ledger what it is, so that a wrong path is seen before the draw.
 */
import { Effect } from "effect"
import * as fs from "node:fs"
import { formatRoster } from "../../domain/Agency.ts"
import { SettingsError, type SettingsShape } from "../base/Settings.ts"
import { LedgerMismatch, LedgerUnreadable } from "../ledger/BetLedger.ts"
import { nextOf, otherNamesProblem, placeOf } from "../ledger/sqlite/LedgerPlace.ts"
import { nothingBegun, olderVersion } from "../ledger/sqlite/OpenLedger.ts"
import { ledgerInfo } from "./LedgerInfo.ts"

/** Succeeds with what is to be said of the ledger. `configuration` is for messages. */
export const checkWithLedger = Effect.fnUntraced(function*(
  configuration: string,
  { ledger: { path }, lottery }: SettingsShape
) {
  if (!fs.existsSync(path)) return `${path}: no ledger yet; the central begins one`
  const { nlink } = fs.statSync(path)
  // With a next ledger beside it, the second name is of a `ledger begin` that the central finishes.
  if (nlink > 1 && !fs.existsSync(nextOf(placeOf(path)))) {
    return yield* new LedgerUnreadable({ path, problem: otherNamesProblem(placeOf(path), nlink) })
  }
  const found = yield* ledgerInfo(path).pipe(
    // The central begins in an empty file, and brings an older ledger up to date.
    Effect.catchTag(
      "LedgerUnreadable",
      (error) =>
        error.problem === nothingBegun || error.problem === olderVersion
          ? Effect.succeed(error.message)
          : Effect.fail(error)
    )
  )
  if (typeof found === "string") return found
  const values = [
    ["agencies", found.roster, formatRoster(lottery.agencies)],
    ["winning number", String(found.winningNumber), String(lottery.winningNumber)],
    // A configuration without a name is of whatever draw the ledger is of.
    ["draw", found.drawName, lottery.draw ?? found.drawName]
  ] as const
  const problems = values.flatMap(([what, ledger, configured]) =>
    ledger === configured
      ? []
      : [new LedgerMismatch({ path, what, ledger, configured }).message]
  )
  if (problems.length > 0) return yield* new SettingsError({ path: configuration, problems })
  const bets = `${found.bets.toLocaleString("en-US")} ${found.bets === 1 ? "bet" : "bets"}`
  return `${path}: draw ${found.drawName}, ${bets}, ${found.finished} of ${found.agencies} agencies finished, draw ${
    found.draw === undefined ? "not held" : "held"
  }`
})
