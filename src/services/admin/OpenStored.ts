/** The ledger that an address leads to, for reports. */
import { Effect, type Scope } from "effect"
import { fileLedger } from "./FileLedger.ts"
import type { LedgerReadError, StoredLedger } from "./StoredLedger.ts"

export const openStored = (
  address: string
): Effect.Effect<StoredLedger, LedgerReadError, Scope.Scope> => Effect.succeed(fileLedger(address))
