/**
 * The ledger in the PostgreSQL database that the settings name. The log says when the database can't be reached.
 */
import { Cause, Effect } from "effect"
import { randomBytes } from "node:crypto"
import { hostname } from "node:os"
import type { AgencyId } from "../../../domain/Agency.ts"
import { unclaimedLines } from "../../../domain/Limits.ts"
import { BoundedLines } from "../../base/BoundedLines.ts"
import { Lifetime } from "../../base/Lifetime.ts"
import { type LogWriter, OperatorLog } from "../../base/OperatorLog.ts"
import type { PostgresUrl } from "../../base/PostgresUrl.ts"
import { Settings } from "../../base/Settings.ts"
import { openPostgresLedger } from "../postgres/PostgresLedger.ts"

/** Of a name that PostgreSQL shows for each session, 63 bytes stay. */
const hostCharactersMax = 40

/** The machine's name says where to look; the rest tells servers apart that share one, and a server from its successor. */
const makeServerName = (): string =>
  `${hostname().slice(0, hostCharactersMax)}-${randomBytes(3).toString("hex")}`

/** Succeeds with the name by which the server is known there, too. */
export const openInDatabase = Effect.fnUntraced(function*(url: PostgresUrl) {
  const { ledger: { postgres: bounds }, lottery } = yield* Settings
  const log = yield* OperatorLog
  const lifetime = yield* Lifetime
  const server = makeServerName()
  const unclaimed = yield* linesOfUnclaimed(log)
  const ledger = yield* openPostgresLedger({
    url,
    server,
    roster: lottery.agencies,
    winningNumber: lottery.winningNumber,
    draw: lottery.draw,
    groupsMax: bounds.groupsMax,
    pollMs: bounds.pollMs,
    connectMs: bounds.connectDeadlineMs,
    claimLockMs: bounds.claimLockMs,
    answerMs: bounds.answerDeadlineMs,
    onTrouble: (problem) => {
      lifetime.setTrouble("the database", problem)
      logTrouble(log, problem)
    },
    onUnclaimed: unclaimed,
    onReplaced: (problem) => lifetime.failUnsafe("the ledger", Cause.die(new Error(problem)))
  })
  return { ledger, server }
})

/** When a standby is away that must have each commit, nothing but the claims that fail tells of it. */
const linesOfUnclaimed = Effect.fnUntraced(function*(log: LogWriter) {
  const lines = new BoundedLines<"claim">(unclaimedLines, (_, cantidad) => {
    log.write("WARNING", "claim", "left_out", { cantidad })
  })
  yield* Effect.addFinalizer(() => Effect.sync(() => lines.endWindow()))
  return (agency: AgencyId, problem: string) => {
    if (lines.take("claim")) log.write("ERROR", "claim", "fail", { agencia: agency, problem })
  }
})

const logTrouble = (log: LogWriter, problem: string | undefined): void => {
  if (problem !== undefined) return log.write("ERROR", "database", "fail", { problem })
  log.write("WARNING", "database", "success", { detail: "the database can be reached again" })
}
