/** The ledger that an address leads to, for reports. */
import { Effect, type Scope } from "effect"
import { fileLedger } from "./FileLedger.ts"
import type { LedgerAddress } from "./LedgerAddress.ts"
import type { LedgerReadError, StoredLedger } from "./StoredLedger.ts"

export const openStored = (
  address: LedgerAddress
): Effect.Effect<StoredLedger, LedgerReadError, Scope.Scope> =>
  typeof address === "string"
    ? Effect.succeed(fileLedger(address))
    // Who works on a file needs no PostgreSQL.
    : Effect.flatMap(
      Effect.promise(() => import("./DatabaseLedger.ts")),
      ({ databaseLedger }) => databaseLedger(address)
    )
