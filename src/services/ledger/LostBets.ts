/**
 * What becomes of a server that learns that its ledger has lost what it had acknowledged: by a failover to a standby that
 * was behind, or a backup that was restored under it. It says what is missing and ends, because only who remembers can tell.
 */
import { Cause, Effect } from "effect"
import type { AgencyId } from "../../domain/Agency.ts"
import type { Standing } from "../../domain/Standing.ts"
import { Lifetime } from "../base/Lifetime.ts"
import { OperatorLog } from "../base/OperatorLog.ts"

export interface LostBets {
  readonly agency: AgencyId
  /** Its bets, or that it had finished. */
  readonly acknowledged: number | "finished"
  readonly stored: number | "not finished"
}

/** `stored` is less than what was acknowledged. */
export const lostBets = (
  agency: AgencyId,
  acknowledged: Standing,
  stored: Standing
): LostBets =>
  acknowledged.finished && !stored.finished && acknowledged.bets === stored.bets
    ? { agency, acknowledged: "finished", stored: "not finished" }
    : { agency, acknowledged: acknowledged.bets, stored: stored.bets }

/** Gives the function that ends the server. What is lost besides is not said: the server is ending. */
export const endForLostBets = Effect.gen(function*() {
  const log = yield* OperatorLog
  const lifetime = yield* Lifetime
  let ending = false
  return ({ acknowledged, agency, stored }: LostBets): void => {
    if (ending) return
    ending = true
    log.write("CRITICAL", "ledger_lost", "fail", {
      agencia: agency,
      acknowledged,
      stored,
      detail: "the ledger has lost what was acknowledged; the server ends. Don't start it again "
        + "before the database that has it was looked for"
    })
    lifetime.failUnsafe("the ledger", Cause.die(new Error("it has lost what was acknowledged")))
  }
})
