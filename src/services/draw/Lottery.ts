/**
 * The lottery of this ledger: which agencies have finished, and the draw with its winners. The draw is due when the last
 * agency of the roster has finished, and is held once. After a restart a draw that was due is held, and one that was
 * held already is only served.
 */
import { Context, Deferred, Effect, HashSet, Iterable, Layer, Option, Ref } from "effect"
import type { AgencyId } from "../../domain/Agency.ts"
import type { Draw } from "../../domain/Draw.ts"
import { invariant } from "../../domain/Invariant.ts"
import { backoff } from "../base/Backoff.ts"
import { Keeper } from "../base/Keeper.ts"
import { Lifetime } from "../base/Lifetime.ts"
import { OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import { BetLedger, type LedgerUnavailable } from "../ledger/BetLedger.ts"
import { GroupCommit } from "../ledger/GroupCommit.ts"

/** The agencies that have not finished. The draw waits for them. */
export interface Missing {
  readonly has: (agency: number) => boolean
  /** At most this many of them, in the roster's order; a large roster isn't gone through to its end. */
  readonly first: (count: number) => ReadonlyArray<AgencyId>
}

export class Lottery extends Context.Service<Lottery, {
  readonly isAgency: (id: number) => id is AgencyId
  readonly missing: Missing
  /** The agency's last chunk is on disk. If it is the last agency, the draw is due. */
  readonly finish: (agency: AgencyId) => Effect.Effect<void>
  /** Waits for the draw. */
  readonly drawn: Effect.Effect<Draw>
  /** The draw, if it has been held. */
  readonly current: Effect.Effect<Option.Option<Draw>>
}>()("loteria-nacional/services/draw/Lottery") {
  static readonly layer = Layer.effect(
    Lottery,
    Effect.gen(function*() {
      const { ledger: { retryFirstMs, retryMaxMs }, lottery: { agencies } } = yield* Settings
      const ledger = yield* BetLedger
      const commits = yield* GroupCommit
      const lifetime = yield* Lifetime
      const keeper = yield* Keeper
      const log = yield* OperatorLog

      const roster = new Set<number>(agencies)
      const finished = yield* Ref.make(HashSet.fromIterable(
        [...ledger.opened.agencies].filter(([, standing]) => standing.finished).map(([id]) => id)
      ))
      const due = yield* Deferred.make<void>()
      const drawn = yield* Deferred.make<Draw>()

      const checkDue = Effect.gen(function*() {
        const count = HashSet.size(yield* Ref.get(finished))
        invariant(count <= roster.size, "only agencies of the roster finish")
        if (count === roster.size) yield* Deferred.succeed(due, undefined)
      })

      const noteFailure = (failure: LedgerUnavailable) =>
        Effect.sync(() => {
          const problem = String(failure.cause)
          log.write("ERROR", "sorteo", "fail", { problem })
          lifetime.setTrouble("draw", `it is due and can't be held (${problem})`)
        })

      const holdWhenDue = Effect.gen(function*() {
        yield* Deferred.await(due)
        const draw = yield* commits.exclusively(ledger.holdDraw).pipe(
          Effect.tapError(noteFailure),
          Effect.retry(backoff({ firstMs: retryFirstMs, maxMs: retryMaxMs }))
        )
        lifetime.setTrouble("draw", undefined)
        log.write("INFO", "sorteo", "success")
        invariant(yield* Deferred.succeed(drawn, draw), "the draw is held once")
      })

      if (Option.isSome(ledger.opened.draw)) {
        yield* Deferred.succeed(drawn, ledger.opened.draw.value)
        log.write("WARNING", "draw_held", "success", {
          detail:
            "this ledger only serves winners; for the next draw stop the central and run `ledger begin`"
        })
      } else {
        yield* checkDue
        yield* keeper.inLedgersPath("draw", holdWhenDue)
      }

      const isMissing = (agency: number): boolean =>
        roster.has(agency) && !HashSet.has(Ref.getUnsafe(finished), agency)

      return Lottery.of({
        isAgency: (id): id is AgencyId => roster.has(id),
        missing: {
          has: isMissing,
          first: (count) => [...Iterable.take(Iterable.filter(agencies, isMissing), count)]
        },
        finish: (agency) => Effect.andThen(Ref.update(finished, HashSet.add(agency)), checkDue),
        drawn: Deferred.await(drawn),
        current: Effect.flatMap(Deferred.poll(drawn), Effect.transposeOption)
      })
    })
  )
}
