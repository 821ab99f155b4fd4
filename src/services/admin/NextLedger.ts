/** `ledger begin`: begins the next lottery where the last one is, or the first. */
import { Effect } from "effect"
import { beginFile } from "./NextFile.ts"
import type { NewLottery } from "./NextLottery.ts"

/** `anyway`: even where agencies would lose something. */
export const beginLedger = Effect.fn("NextLedger.beginLedger")(
  (address: string, lottery: NewLottery, anyway = false) => beginFile(address, lottery, anyway)
)
