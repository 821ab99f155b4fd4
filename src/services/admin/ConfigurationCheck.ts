/**
 * `serve --check-config`: whether the central would start on the ledger that its configuration names. Only reads, even
 * beside a central that runs on that ledger. It describes the ledger, so that a wrong path is noticed before the draw.
 */
import { Effect } from "effect"
import * as fs from "node:fs"
import { formatRoster } from "../../domain/Agency.ts"
import type { PostgresUrl } from "../base/PostgresUrl.ts"
import { SettingsError, type SettingsShape } from "../base/Settings.ts"
import { LedgerMismatch, LedgerUnreadable } from "../ledger/BetLedger.ts"
import { nextOf, otherNamesProblem, placeOf } from "../ledger/sqlite/LedgerPlace.ts"
import { nothingBegun, olderVersion } from "../ledger/sqlite/OpenLedger.ts"
import { type LedgerInfo, ledgerInfo } from "./LedgerInfo.ts"

/** Succeeds with a description of the ledger. `configuration` is for messages. */
export const checkWithLedger = Effect.fnUntraced(function*(
  configuration: string,
  { ledger: { path, url }, lottery }: SettingsShape
) {
  const found = yield* url === undefined ? findInFile(path) : findInDatabase(url, lottery.draw)
  if (typeof found === "string") return found
  const problems = mismatches(found, lottery)
  if (problems.length > 0) return yield* new SettingsError({ path: configuration, problems })
  return description(found)
})

/** What is in the file, or in words what the central would do with it. */
const findInFile = Effect.fnUntraced(function*(path: string) {
  if (!fs.existsSync(path)) return `${path}: no ledger yet; the central begins one`
  yield* requireOneName(path)
  return yield* ledgerInfo(path).pipe(
    // The central begins in an empty file, and brings an older ledger up to date.
    Effect.catchTag(
      "LedgerUnreadable",
      (error) =>
        error.problem === nothingBegun || error.problem === olderVersion
          ? Effect.succeed(error.message)
          : Effect.fail(error)
    )
  )
})

/** The same of a database, in which the central serves the configured draw, or without one the last. */
const findInDatabase = Effect.fnUntraced(function*(url: PostgresUrl, draw: string | undefined) {
  const { describeBegin } = yield* Effect.promise(() => import("./DatabaseBegin.ts"))
  return (yield* describeBegin(url, draw)) ?? (yield* ledgerInfo({ url, draw }))
})

const requireOneName = (path: string) =>
  Effect.suspend(() => {
    const { nlink } = fs.statSync(path)
    // Beside a next ledger, the second name is the archive's of a `ledger begin` that the central will finish.
    if (nlink === 1 || fs.existsSync(nextOf(placeOf(path)))) return Effect.void
    const problem = otherNamesProblem(placeOf(path), nlink)
    return Effect.fail(new LedgerUnreadable({ path, problem }))
  })

const mismatches = (
  { drawName, path, roster, winningNumber }: LedgerInfo,
  lottery: SettingsShape["lottery"]
): ReadonlyArray<string> => {
  const values = [
    ["agencies", roster, formatRoster(lottery.agencies)],
    ["winning number", String(winningNumber), String(lottery.winningNumber)],
    // A configuration without a draw's name takes the ledger's.
    ["draw", drawName, lottery.draw ?? drawName]
  ] as const
  return values.flatMap(([what, ledger, configured]) =>
    ledger === configured
      ? []
      : [new LedgerMismatch({ path, what, ledger, configured }).message]
  )
}

const description = ({ agencies, bets, draw, drawName, finished, path }: LedgerInfo): string =>
  [
    `${path}: draw ${drawName}`,
    `${bets.toLocaleString("en-US")} ${bets === 1 ? "bet" : "bets"}`,
    `${finished} of ${agencies} agencies finished`,
    `draw ${draw === undefined ? "not held" : "held"}`
  ].join(", ")
