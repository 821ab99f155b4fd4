/** A keeper for parts under test: a defect fails the test instead of being logged. */
import { Cause, Layer } from "effect"
import { Keeper, RootKeeper } from "../../src/services/base/Keeper.ts"
import { LogWriter } from "../../src/services/base/OperatorLog.ts"
import {
  sqliteLedgerLayer,
  type SqliteLedgerOptions
} from "../../src/services/ledger/embedded/SqliteLedger.ts"

class StrictLog extends LogWriter {
  override write(_level: unknown, action: string, _result: string, details?: unknown): void {
    if (action === "defect") throw new Error(JSON.stringify(details))
  }
}

export const strictKeeper = new RootKeeper(
  new StrictLog({ level: "CRITICAL", format: "text", flushMs: 0 }, () => {}),
  (root, cause) => {
    throw new Error(`${root}: ${Cause.pretty(cause)}`)
  }
)

export const strictKeeperLayer = Layer.succeed(Keeper, strictKeeper)

/** A ledger whose checkpoints are kept so. */
export const keptLedger = (options: SqliteLedgerOptions) =>
  Layer.provide(sqliteLedgerLayer(options), strictKeeperLayer)
