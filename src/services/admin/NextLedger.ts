/** `ledger begin`: begins the next lottery where the last one is, or the first. */
import { Effect } from "effect"
import type { LedgerAddress } from "./LedgerAddress.ts"
import { beginFile } from "./NextFile.ts"
import type { NewLottery } from "./NextLottery.ts"

/** `anyway`: even where agencies would lose something. */
export const beginLedger = Effect.fn("NextLedger.beginLedger")(
  function*(address: LedgerAddress, lottery: NewLottery, anyway = false) {
    if (typeof address === "string") return yield* beginFile(address, lottery, anyway)
    const { beginDatabase } = yield* Effect.promise(() => import("./NextDatabase.ts"))
    return yield* beginDatabase(address.url, lottery, anyway)
  }
)
