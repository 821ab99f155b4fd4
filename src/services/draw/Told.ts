/**
 * Who has been told its winners, and how surely. TCP says no more than this: a peer whose FIN comes after our answer and
 * our FIN has taken the answer (`confirmed`); a reset, a cut, or a peer that doesn't close leaves it `sent`.
 *
 * It is written into the ledger behind the answers and never delays one: what gathers while a write is under way goes
 * into the next, one agency at most once. What a kill overtakes is not known afterwards. No chunk waits for it either:
 * there is nobody to tell before the draw, and no chunk after it.
 *
 * With `exitWhenServed` it ends the server when every agency has been told.
 */
import { Context, Effect, Latch, Layer } from "effect"
import type { AgencyId } from "../../domain/Agency.ts"
import { toldBatchMax } from "../../domain/Limits.ts"
import { localTime } from "../../domain/LocalTime.ts"
import { backoff } from "../base/Backoff.ts"
import { Keeper } from "../base/Keeper.ts"
import { Lifetime } from "../base/Lifetime.ts"
import { OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import { BetLedger, type ToldRecord } from "../ledger/BetLedger.ts"
import { GroupCommit } from "../ledger/GroupCommit.ts"

export interface Answered {
  readonly agency: AgencyId
  readonly winners: number
  readonly at: Date
}

/** What became of the answer, and where it went. */
export interface Sent {
  /**
   * The peer's FIN after ours confirms that the answer was taken. A peer that doesn't close leaves it open, and what
   * breaks the connection may have swallowed it.
   */
  readonly delivery: "confirmed" | "unconfirmed" | "broken"
  readonly transport: { readonly address: string; readonly port: number }
}

export class Told extends Context.Service<Told, {
  /** A connection has ended on which an agency was answered. Returns at once. */
  readonly note: (answered: Answered, sent: Sent) => void
}>()("loteria-nacional/services/draw/Told") {
  static readonly layer = Layer.effect(
    Told,
    Effect.gen(function*() {
      const { ledger: { retryFirstMs, retryMaxMs }, lottery } = yield* Settings
      const ledger = yield* BetLedger
      const commits = yield* GroupCommit
      const lifetime = yield* Lifetime
      const keeper = yield* Keeper
      const log = yield* OperatorLog
      const confirmed = new Set<AgencyId>()
      for (const [agency, { how }] of ledger.opened.told) {
        if (how === "confirmed") confirmed.add(agency)
      }
      /** Agencies that `exitWhenServed` doesn't wait for any more. */
      const served = new Set(confirmed)
      /** To be written: the latest of each agency. */
      const pending = new Map<AgencyId, ToldRecord>()
      const work = yield* Latch.make(false)

      const write = Effect.suspend(() => {
        const batch = [...pending].slice(0, toldBatchMax)
        return Effect.map(
          commits.exclusively(ledger.told(batch.map(([, record]) => record))),
          () => {
            for (const [agency, record] of batch) {
              if (pending.get(agency) === record) pending.delete(agency)
            }
          }
        )
      }).pipe(
        Effect.tapError((failure) =>
          Effect.sync(() =>
            log.write("ERROR", "told", "fail", {
              agencies: pending.size,
              problem: String(failure.cause)
            })
          )
        )
      )
      const round = Effect.gen(function*() {
        if (pending.size === 0) {
          work.closeUnsafe()
          yield* work.await
        }
        yield* Effect.retry(write, backoff({ firstMs: retryFirstMs, maxMs: retryMaxMs }))
      }).pipe(Effect.orDie)

      // Runs when the fiber below has ended: what is left gets one try before the ledger is closed.
      yield* Effect.addFinalizer(() => pending.size === 0 ? Effect.void : Effect.ignore(write))
      yield* keeper.inLedgersPath("notes of who was told", Effect.forever(round))

      const note = ({ agency, at, winners }: Answered, sent: Sent): void => {
        const { delivery, transport: { address, port } } = sent
        const details = { agencia: agency, cantidad: winners, ip: address, port }
        if (delivery === "confirmed") {
          log.write("INFO", "ganadores_informados", "success", details)
        } else {
          log.write("WARNING", "ganadores_informados", "fail", {
            ...details,
            problem: delivery === "unconfirmed"
              ? "sent, not confirmed: the agency didn't close"
              : "sent, not confirmed: the connection broke"
          })
        }
        if (!confirmed.has(agency)) {
          const how = delivery === "confirmed" ? "confirmed" : "sent"
          if (how === "confirmed") confirmed.add(agency)
          pending.set(agency, { agency, how, at: localTime(at), address, port })
          work.openUnsafe()
        }
        // Who keeps its side open after our FIN has been sent everything and asks no more. Who was cut off asks again.
        if (delivery !== "broken") served.add(agency)
        if (lottery.exitWhenServed && served.size === lottery.agencies.length) lifetime.endUnsafe()
      }

      return Told.of({ note })
    })
  )
}
