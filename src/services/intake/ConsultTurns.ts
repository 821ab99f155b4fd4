/**
 * The turns of the consult port. After the draw each agency is told its own winners, and the connection is closed. A
 * consult that waits for the draw occupies no worker: it has a fiber of its own.
 */
import { Cause, Context, Effect, type Fiber, Layer, Option, Result } from "effect"
import type { AgencyId } from "../../domain/Agency.ts"
import type { Draw } from "../../domain/Draw.ts"
import { decodeConsult } from "../../domain/Message.ts"
import { endedByError, notDrawnYet, unknownConsultant, winners } from "../../domain/Verdict.ts"
import { Keeper } from "../base/Keeper.ts"
import { Settings } from "../base/Settings.ts"
import { Lottery } from "../draw/Lottery.ts"
import { type Answered, Told } from "../draw/Told.ts"
import { Connections } from "./Connections.ts"
import type { Session } from "./Session.ts"
import { runTurn, type Turn, type TurnResult } from "./Turn.ts"

export class ConsultTurns extends Context.Service<ConsultTurns, {
  readonly handle: (turn: Turn) => Effect.Effect<void>
}>()("loteria-nacional/services/intake/ConsultTurns") {
  static readonly layer = Layer.effect(
    ConsultTurns,
    Effect.gen(function*() {
      const { consults: { retryAfterMs } } = yield* Settings
      const lottery = yield* Lottery
      const keeper = yield* Keeper
      const told = yield* Told
      const connections = yield* Connections
      const scope = yield* Effect.scope
      const waiting = new Map<Session, Fiber.Fiber<void>>()
      const answered = new Map<Session, Answered>()
      connections.onClosed((session) => {
        const answer = answered.get(session)
        answered.delete(session)
        if (answer !== undefined) told.note(answer, session.connection)
        waiting.get(session)?.interruptUnsafe()
        waiting.delete(session)
      })

      const tell = (session: Session, agency: AgencyId, draw: Draw) =>
        Effect.sync(() => {
          if (session.connection.closing) return
          const documents = draw.winners.get(agency) ?? []
          session.carryOut(winners(documents))
          answered.set(session, { agency, winners: documents.length, at: new Date() })
        })

      const awaitDraw = Effect.fnUntraced(function*(session: Session, agency: AgencyId) {
        const fiber = yield* lottery.drawn.pipe(
          Effect.flatMap((held) => tell(session, agency, held)),
          Effect.catchCause((cause) =>
            Effect.sync(() => {
              if (Cause.hasInterruptsOnly(cause)) return
              keeper.endConnection("waiting consult", session.connection, cause)
            })
          ),
          Effect.forkIn(scope)
        )
        waiting.set(session, fiber)
      })

      const act = Effect.fnUntraced(
        function*({ frame, session }: Turn): Effect.fn.Return<TurnResult> {
          if (session.connection.closing) return "done"
          const request = decodeConsult(frame)
          if (Result.isFailure(request)) {
            const { agency, code, message } = request.failure
            session.carryOut(endedByError(code, message, { agency }))
            return "done"
          }
          const { agency, wait } = request.success
          if (!lottery.isAgency(agency)) {
            session.carryOut(unknownConsultant(agency))
            return "done"
          }
          session.bind(agency)
          const draw = yield* lottery.current
          if (Option.isSome(draw)) yield* tell(session, agency, draw.value)
          else if (!wait) session.carryOut(notDrawnYet(retryAfterMs))
          else {
            yield* awaitDraw(session, agency)
            return "muted"
          }
          return "done"
        }
      )

      return ConsultTurns.of({
        handle: (turn) => Effect.suspend(() => runTurn(keeper, turn, act, undefined) ?? Effect.void)
      })
    })
  )
}
