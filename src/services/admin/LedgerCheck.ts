/** `ledger verify`: finds every problem of a ledger; fails only when it can't be read at the moment. */
import { Effect } from "effect"
import { verifyFile } from "./FileCheck.ts"
import type { LedgerAddress } from "./LedgerAddress.ts"
import type { LedgerReadError } from "./StoredLedger.ts"
import type { Verification } from "./Verification.ts"

export const verifyLedger = Effect.fn("LedgerCheck.verifyLedger")(function*(
  address: LedgerAddress
): Effect.fn.Return<Verification, LedgerReadError> {
  if (typeof address === "string") return yield* verifyFile(address)
  const { verifyDatabase } = yield* Effect.promise(() => import("./DatabaseCheck.ts"))
  return yield* verifyDatabase(address)
})
