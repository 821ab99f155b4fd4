/**
 * Which agencies have been told their winners, and how surely. All that TCP can say: a peer whose FIN comes after our
 * answer and our FIN has taken the answer (`confirmed`); after a reset, or if the peer never closes, it is just `sent`.
 *
 * The ledger keeps it, written behind the answers, which never wait for it: what comes in during one write goes into the
 * next, with one record for each agency. A kill loses what is not written yet. Chunks don't wait for these writes either:
 * nobody is told before the draw, and no chunk comes after it.
 *
 * With `exitWhenServed` it ends the server when every agency has been told.
 */
import { Context, Effect, Latch, Layer, Stream } from "effect"
import type { AgencyId } from "../../domain/Agency.ts"
import type { ToldRecord } from "../../domain/Draw.ts"
import { toldBatchMax } from "../../domain/Limits.ts"
import { localTime } from "../../domain/LocalTime.ts"
import { backoff } from "../base/Backoff.ts"
import { Keeper } from "../base/Keeper.ts"
import { Lifetime } from "../base/Lifetime.ts"
import { type LogWriter, OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import { BetLedger, type LedgerUnavailable } from "../ledger/BetLedger.ts"
import { GroupCommit } from "../ledger/GroupCommit.ts"

/** The winners that were sent to an agency. */
export interface Answered {
  readonly agency: AgencyId
  readonly winners: number
  readonly at: Date
}

/** The end of the connection that they were sent on. */
export interface Sent {
  /**
   * `confirmed`: the peer's FIN came after ours. `unconfirmed`: the peer didn't close, and has had all the time to read
   * the answer. `broken`: what broke the connection may have swallowed the answer.
   */
  readonly delivery: "confirmed" | "unconfirmed" | "broken"
  readonly transport: { readonly address: string; readonly port: number }
}

export class Told extends Context.Service<Told, {
  /** A connection on which an agency was answered has ended. Returns at once. */
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

      const confirmed = new Set<number>()
      /** Agencies that `exitWhenServed` doesn't wait for any more. */
      const served = new Set<number>()
      /** Looks whom all servers have told. */
      const look = Effect.map(ledger.toldRecords, (records) => addTold(records, confirmed, served))
      yield* look
      /** To be written: the latest record of each agency. */
      const unwritten = new Map<number, ToldRecord>()
      /** Not before it is written: other servers wait for the same agencies. */
      const endWhenServed = () => {
        const allServed = served.size === lottery.agencies.length
        if (lottery.exitWhenServed && allServed && unwritten.size === 0) lifetime.endUnsafe()
      }
      const notEmpty = yield* Latch.make(false)

      const noteFailure = ({ problem }: LedgerUnavailable) =>
        Effect.sync(() => {
          log.write("ERROR", "told", "fail", { agencies: unwritten.size, problem })
        })
      const write = Effect.suspend(() => {
        const batch = [...unwritten.values()].slice(0, toldBatchMax)
        return Effect.map(commits.exclusively(ledger.told(batch)), () => {
          for (const record of batch) {
            // If a newer record of the agency came meanwhile, that one is still to be written.
            if (unwritten.get(record.agency) === record) unwritten.delete(record.agency)
          }
          endWhenServed()
        })
      }).pipe(Effect.tapError(noteFailure))

      const round = Effect.gen(function*() {
        if (unwritten.size === 0) {
          notEmpty.closeUnsafe()
          yield* notEmpty.await
        }
        yield* Effect.retry(write, backoff({ firstMs: retryFirstMs, maxMs: retryMaxMs }))
      })

      // Runs when the fiber below has ended: what is left gets one try before the ledger is closed.
      yield* Effect.addFinalizer(() => unwritten.size === 0 ? Effect.void : Effect.ignore(write))
      yield* keeper.inLedgersPath("notes of who was told", Effect.forever(round))

      const follow = Stream.runForEach(
        ledger.news,
        ({ _tag }) =>
          _tag === "Changed" ? Effect.map(Effect.ignore(look), endWhenServed) : Effect.void
      )
      if (lottery.exitWhenServed) yield* keeper.inLedgersPath("news of other servers", follow)

      return Told.of({
        note: (answered, sent) => {
          const { agency, at } = answered
          const { delivery, transport: { address, port } } = sent
          logAnswer(log, answered, sent)
          // An agency that was cut off asks again. One that doesn't close was sent everything, and asks no more.
          if (delivery !== "broken") served.add(agency)
          if (!confirmed.has(agency)) {
            const how = delivery === "confirmed" ? "confirmed" : "sent"
            if (how === "confirmed") confirmed.add(agency)
            unwritten.set(agency, {
              agency,
              how,
              at: localTime(at),
              address,
              port,
              served: served.has(agency)
            })
            notEmpty.openUnsafe()
          }
          endWhenServed()
        }
      })
    })
  )
}

const addTold = (
  records: ReadonlyMap<AgencyId, ToldRecord>,
  confirmed: Set<number>,
  served: Set<number>
): void => {
  for (const record of records.values()) {
    if (record.how === "confirmed") confirmed.add(record.agency)
    if (record.served) served.add(record.agency)
  }
}

const doubts = {
  unconfirmed: "sent, not confirmed: the agency didn't close",
  broken: "sent, not confirmed: the connection broke"
} as const

const logAnswer = (
  log: LogWriter,
  { agency, winners }: Answered,
  { delivery, transport }: Sent
) => {
  const details = {
    agencia: agency,
    cantidad: winners,
    ip: transport.address,
    port: transport.port
  }
  if (delivery === "confirmed") log.write("INFO", "ganadores_informados", "success", details)
  else {
    const problem = doubts[delivery]
    log.write("WARNING", "ganadores_informados", "fail", { ...details, problem })
  }
}
