/**
 * The ledger that the settings name, in an SQLite file. The log says what the ledger holds once it is open, when its
 * file is not in its place, and that it has been closed.
 */
import { Effect, Layer } from "effect"
import { Lifetime } from "../../base/Lifetime.ts"
import { type LogWriter, OperatorLog } from "../../base/OperatorLog.ts"
import { Settings } from "../../base/Settings.ts"
import { BetLedger } from "../BetLedger.ts"
import { openSqliteLedger } from "./SqliteLedger.ts"

export const configuredLedgerLayer = Layer.effect(
  BetLedger,
  Effect.gen(function*() {
    const { ledger: { path, snapshotChunks }, lottery: { agencies, draw, winningNumber } } =
      yield* Settings
    const log = yield* OperatorLog
    const lifetime = yield* Lifetime
    let isOpen = false
    // Finalizers run in reverse: this one was added before the ledger's, so it runs when the ledger is closed.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (isOpen) log.write("INFO", "close_resource", "success", { resource: "ledger" })
      })
    )
    const ledger = yield* openSqliteLedger({
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
    isOpen = true
    logHeld(log, path, agencies.length, ledger.opened)
    return ledger
  })
)

const logPlace = (log: LogWriter, problem: string | undefined): void => {
  if (problem !== undefined) return log.write("CRITICAL", "ledger_place", "fail", { problem })
  const detail = "the ledger is in its place again, and bets are stored"
  log.write("WARNING", "ledger_place", "success", { detail })
}

const logHeld = (
  log: LogWriter,
  path: string,
  agencies: number,
  { bets, drawName, finished, isNew }: BetLedger["Service"]["opened"]
): void =>
  log.write("INFO", "ledger", "success", {
    path,
    draw: drawName,
    new: isNew,
    bets,
    finished: `${finished} of ${agencies}`
  })
