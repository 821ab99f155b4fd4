/**
 * The lottery of this ledger: who has finished, the draw, and its winners. The draw is held once, when the last agency
 * of the roster has finished; after a restart a draw that was due is held, one that was held is not repeated.
 */
import { Context, Deferred, Effect, HashSet, Layer, Option, Ref } from "effect"
import type { AgencyId } from "../../domain/Agency.ts"
import type { Draw } from "../../domain/Draw.ts"
import { backoff } from "../base/Backoff.ts"
import { Keeper } from "../base/Keeper.ts"
import { Lifetime } from "../base/Lifetime.ts"
import { OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import { BetLedger } from "../ledger/BetLedger.ts"
import { GroupCommit } from "../ledger/GroupCommit.ts"

/** Without going through all of a large roster. */
const firstOf = (
  agencies: ReadonlyArray<AgencyId>,
  fits: (agency: AgencyId) => boolean,
  count: number
): ReadonlyArray<AgencyId> => {
  const found: Array<AgencyId> = []
  for (const agency of agencies) {
    if (found.length === count) break
    if (fits(agency)) found.push(agency)
  }
  return found
}

/** Who has not finished. */
export interface Missing {
  readonly has: (agency: number) => boolean
  /** In the roster's order, so many at most. */
  readonly first: (count: number) => ReadonlyArray<AgencyId>
}

export class Lottery extends Context.Service<Lottery, {
  readonly isAgency: (id: number) => id is AgencyId
  /** Whom the draw waits for. */
  readonly missing: Missing
  /** The agency's last chunk is on disk. The last agency's starts the draw. */
  readonly finish: (agency: AgencyId) => Effect.Effect<void>
  /** Waits for the draw. */
  readonly drawn: Effect.Effect<Draw>
  /** The draw, if it was held. */
  readonly current: Effect.Effect<Option.Option<Draw>>
}>()("loteria-nacional/services/draw/Lottery") {
  static readonly layer = Layer.effect(
    Lottery,
    Effect.gen(function*() {
      const { ledger: { retryFirstMs, retryMaxMs }, lottery } = yield* Settings
      const ledger = yield* BetLedger
      const commits = yield* GroupCommit
      const lifetime = yield* Lifetime
      const keeper = yield* Keeper
      const log = yield* OperatorLog
      const roster = new Set<number>(lottery.agencies)
      const finished = yield* Ref.make(HashSet.fromIterable(
        [...ledger.opened.agencies].filter(([, record]) => record.finished).map(([id]) => id)
      ))
      const due = yield* Deferred.make<void>()
      const drawn = yield* Deferred.make<Draw>()
      const isMissing = (agency: number): boolean =>
        roster.has(agency) && !HashSet.has(Ref.getUnsafe(finished), agency)

      const checkDue = Effect.gen(function*() {
        if (HashSet.size(yield* Ref.get(finished)) === roster.size) {
          yield* Deferred.succeed(due, undefined)
        }
      })

      const holdDraw = Effect.gen(function*() {
        yield* Deferred.await(due)
        const draw = yield* commits.exclusively(ledger.holdDraw).pipe(
          Effect.tapError((failure) =>
            Effect.sync(() => {
              const problem = String(failure.cause)
              log.write("ERROR", "sorteo", "fail", { problem })
              lifetime.setTrouble("draw", `it is due and can't be held (${problem})`)
            })
          ),
          Effect.retry(backoff({ firstMs: retryFirstMs, maxMs: retryMaxMs })),
          Effect.orDie
        )
        lifetime.setTrouble("draw", undefined)
        log.write("INFO", "sorteo", "success")
        yield* Deferred.succeed(drawn, draw)
      })

      if (Option.isSome(ledger.opened.draw)) {
        yield* Deferred.succeed(drawn, ledger.opened.draw.value)
        log.write("WARNING", "draw_held", "success", {
          detail:
            "this ledger only serves winners; for the next draw stop the central and run `ledger begin`"
        })
      } else {
        yield* checkDue
        yield* keeper.inLedgersPath("draw", holdDraw)
      }

      return Lottery.of({
        isAgency: (id): id is AgencyId => roster.has(id),
        missing: {
          has: isMissing,
          first: (count) => firstOf(lottery.agencies, isMissing, count)
        },
        finish: (agency) =>
          Ref.update(finished, HashSet.add(agency)).pipe(Effect.andThen(checkDue)),
        drawn: Deferred.await(drawn),
        current: Deferred.poll(drawn).pipe(
          Effect.flatMap(Option.match({
            onNone: () => Effect.succeedNone,
            onSome: (draw) => Effect.asSome(draw)
          }))
        )
      })
    })
  )
}
