/** The ledger in the SQLite file that the settings name. The log says when the file is not in its place. */
import { Effect } from "effect"
import { Lifetime } from "../../base/Lifetime.ts"
import { type LogWriter, OperatorLog } from "../../base/OperatorLog.ts"
import { Settings } from "../../base/Settings.ts"
import { openSqliteLedger } from "../embedded/SqliteLedger.ts"

export const openInFile = Effect.gen(function*() {
  const { ledger: { path, snapshotChunks }, lottery: { agencies, draw, winningNumber } } =
    yield* Settings
  const log = yield* OperatorLog
  const lifetime = yield* Lifetime
  return yield* openSqliteLedger({
    path,
    roster: agencies,
    winningNumber,
    draw,
    snapshotChunks,
    onDisplaced: (problem) => {
      lifetime.setTrouble("the ledger's file", problem)
      logPlace(log, problem)
    }
  })
})

const logPlace = (log: LogWriter, problem: string | undefined): void => {
  if (problem !== undefined) return log.write("CRITICAL", "ledger_place", "fail", { problem })
  const detail = "the ledger is in its place again, and bets are stored"
  log.write("WARNING", "ledger_place", "success", { detail })
}
