/**
 * The lottery of this ledger: which agencies have finished, and the draw with its winners. The draw is due when the last
 * agency of the roster has finished, on whichever server, and is held once. After a restart a draw that was due is held,
 * and one that was held already is only served.
 */
import { Context, Deferred, Effect, HashSet, Iterable, Layer, Option, Ref, Stream } from "effect"
import type { AgencyId } from "../../domain/Agency.ts"
import type { Draw } from "../../domain/Draw.ts"
import { invariant } from "../../domain/Invariant.ts"
import { backoff } from "../base/Backoff.ts"
import { Keeper } from "../base/Keeper.ts"
import { Lifetime } from "../base/Lifetime.ts"
import { OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import { BetLedger } from "../ledger/BetLedger.ts"
import { GroupCommit } from "../ledger/GroupCommit.ts"
import { endForLostBets, type LostBets } from "../ledger/LostBets.ts"

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
      const { lottery: { agencies } } = yield* Settings
      const ledger = yield* BetLedger
      const keeper = yield* Keeper
      const endForLoss = yield* endForLostBets
      const log = yield* OperatorLog

      const roster = new Set<number>(agencies)
      /** As far as this server knows: it learns of other servers' agencies when it looks. */
      const finished = yield* Ref.make(HashSet.empty<AgencyId>())
      /** Those of which this server has acknowledged it. */
      const finishedHere = yield* Ref.make(HashSet.empty<AgencyId>())
      const due = yield* Deferred.make<void>()
      const drawn = yield* Deferred.make<Draw>()

      const checkDue = Effect.gen(function*() {
        const count = HashSet.size(yield* Ref.get(finished))
        invariant(count <= roster.size, "only agencies of the roster finish")
        if (count === roster.size) yield* Deferred.succeed(due, undefined)
      })

      /** Looks how far the lottery is on all servers, and gives the draw if it was held. */
      const look = Effect.gen(function*() {
        const acknowledged = yield* Ref.get(finishedHere)
        const standing = yield* ledger.standing
        for (const agency of acknowledged) {
          if (!standing.finished.has(agency)) endForLoss(lostFinish(agency))
        }
        // What was only seen may be gone again: a primary shows commits that its standby, which takes over, never got.
        const seen = HashSet.fromIterable(standing.finished)
        yield* Ref.set(finished, HashSet.union(seen, yield* Ref.get(finishedHere)))
        if (Option.isNone(standing.draw)) yield* checkDue
        return standing.draw
      })

      const holdWhenDue = Effect.gen(function*() {
        yield* Deferred.await(due)
        const draw = yield* heldDraw(drawn)
        if (yield* Deferred.succeed(drawn, draw)) log.write("INFO", "sorteo", "success")
      })
      /** What can't be looked at now is looked at with the next news. */
      const follow = Stream.runForEach(ledger.news, (news) =>
        news._tag === "Changed"
          ? Effect.map(Effect.orElseSucceed(look, () => Option.none<Draw>()), (draw) => {
            // The draw ends this fiber: nothing of it can be left for later.
            if (Option.isNone(draw)) return
            const isNew = Deferred.doneUnsafe(drawn, Effect.succeed(draw.value))
            if (isNew) log.write("INFO", "sorteo", "success", { detail: "held by another server" })
          })
          : Effect.void)

      const held = yield* look
      if (Option.isSome(held)) {
        yield* Deferred.succeed(drawn, held.value)
        log.write("WARNING", "draw_held", "success", {
          detail:
            "this ledger only serves winners; for the next draw stop the central and run `ledger begin`"
        })
      } else {
        yield* keeper.inLedgersPath("draw", holdWhenDue)
        yield* keeper.inLedgersPath(
          "news of other servers",
          Effect.raceFirst(follow, Deferred.await(drawn))
        )
      }

      const isMissing = (agency: number): boolean =>
        roster.has(agency) && !HashSet.has(Ref.getUnsafe(finished), agency)

      return Lottery.of({
        isAgency: (id): id is AgencyId => roster.has(id),
        missing: {
          has: isMissing,
          first: (count) => [...Iterable.take(Iterable.filter(agencies, isMissing), count)]
        },
        finish: (agency) =>
          Effect.all([finishedHere, finished].map(Ref.update(HashSet.add(agency)))).pipe(
            Effect.andThen(checkDue)
          ),
        drawn: Deferred.await(drawn),
        current: Effect.flatMap(Deferred.poll(drawn), Effect.transposeOption)
      })
    })
  )
}

/** The draw, tried again until it is held, or known from another server. */
const heldDraw = Effect.fnUntraced(function*(drawn: Deferred.Deferred<Draw>) {
  const { ledger: { retryFirstMs, retryMaxMs } } = yield* Settings
  const ledger = yield* BetLedger
  const commits = yield* GroupCommit
  const lifetime = yield* Lifetime
  const log = yield* OperatorLog
  const noteFailure = (problem: string) =>
    Effect.sync(() => {
      log.write("ERROR", "sorteo", "fail", { problem })
      lifetime.setTrouble("draw", `it is due and can't be held (${problem})`)
    })
  const known = Effect.flatMap(Deferred.poll(drawn), Effect.transposeOption)
  const held = Effect.flatMap(
    known,
    (draw) => Option.isSome(draw) ? Effect.succeed(draw) : ledger.holdDraw
  )
  const draw = yield* commits.exclusively(held).pipe(
    Effect.mapError(({ problem }) => problem),
    Effect.flatMap(Option.match({
      onNone: () => Effect.fail("the ledger has agencies that have not finished"),
      onSome: Effect.succeed
    })),
    Effect.tapError(noteFailure),
    Effect.retry(backoff({ firstMs: retryFirstMs, maxMs: retryMaxMs }))
  )
  lifetime.setTrouble("draw", undefined)
  return draw
})

const lostFinish = (agency: AgencyId): LostBets => ({
  agency,
  acknowledged: "finished",
  stored: "not finished"
})
