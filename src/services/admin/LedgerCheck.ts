/** `ledger verify`: finds every problem of a ledger; fails only when it can't be read at the moment. */
import { Effect } from "effect"
import { verifyFile } from "./FileCheck.ts"

export const verifyLedger = Effect.fn("LedgerCheck.verifyLedger")((address: string) =>
  verifyFile(address)
)
