/**
 * The ledger in the home that the settings name: an SQLite file, or a PostgreSQL database that several servers share. A
 * server with a file loads nothing of the other. The log says what the ledger holds once it is open, and that it has been
 * closed.
 */
import { Effect, Layer } from "effect"
import { ledgerName } from "../../base/LedgerSettings.ts"
import { OperatorLog } from "../../base/OperatorLog.ts"
import type { PostgresUrl } from "../../base/PostgresUrl.ts"
import { Settings } from "../../base/Settings.ts"
import { BetLedger } from "../BetLedger.ts"
import { openInFile } from "./FileHome.ts"

export const configuredLedgerLayer = Layer.effect(
  BetLedger,
  Effect.gen(function*() {
    const { ledger: settings, lottery } = yield* Settings
    const log = yield* OperatorLog
    let isOpen = false
    // Finalizers run in reverse: this one was added before the ledger's, so it runs when the ledger is closed.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (isOpen) log.write("INFO", "close_resource", "success", { resource: "ledger" })
      })
    )
    const { ledger, ...details } = settings.url === undefined
      ? { ledger: yield* openInFile }
      : yield* openShared(settings.url)
    isOpen = true
    const { bets, drawName, finished, isNew } = ledger.opened
    log.write("INFO", "ledger", "success", {
      path: ledgerName(settings),
      ...details,
      draw: drawName,
      new: isNew,
      bets,
      finished: `${finished} of ${lottery.agencies.length}`
    })
    return ledger
  })
)

const openShared = Effect.fnUntraced(function*(url: PostgresUrl) {
  const { openInDatabase } = yield* Effect.promise(() => import("./DatabaseHome.ts"))
  return yield* openInDatabase(url)
})
