/**
 * Turns of the consult port: each agency is told its own winners, after the draw, and then the connection is closed.
 * A consult that waits holds no worker: a fiber of its own awaits the draw.
 */
import { Cause, Context, Effect, type Fiber, Layer, Option, Result } from "effect"
import type { AgencyId } from "../../domain/Agency.ts"
import type { Draw } from "../../domain/Draw.ts"
import { decodeConsult, encodeAnswer } from "../../domain/Message.ts"
import { Keeper } from "../base/Keeper.ts"
import { Settings } from "../base/Settings.ts"
import { Lottery } from "../draw/Lottery.ts"
import { type Answered, Told } from "../draw/Told.ts"
import type { Connection } from "./Connection.ts"
import { Connections } from "./Connections.ts"

export class ConsultDesk extends Context.Service<ConsultDesk, {
  readonly handle: (connection: Connection) => Effect.Effect<void>
}>()("loteria-nacional/services/intake/ConsultDesk") {
  static readonly layer = Layer.effect(
    ConsultDesk,
    Effect.gen(function*() {
      const { consults } = yield* Settings
      const lottery = yield* Lottery
      const keeper = yield* Keeper
      const told = yield* Told
      const connections = yield* Connections
      const scope = yield* Effect.scope
      const waiting = new Map<Connection, Fiber.Fiber<void>>()
      const answered = new Map<Connection, Answered>()
      connections.onClosed((connection) => {
        const answer = answered.get(connection)
        answered.delete(connection)
        if (answer !== undefined) told.note(answer, connection)
        waiting.get(connection)?.interruptUnsafe()
        waiting.delete(connection)
      })

      const tell = (connection: Connection, agency: AgencyId, draw: Draw) =>
        Effect.sync(() => {
          if (connection.closing) return
          const documents = draw.winners.get(agency) ?? []
          connection.answer(encodeAnswer({ _tag: "InformAgencyWinners", documents }))
          connection.close("served")
          answered.set(connection, { agency, winners: documents.length, at: new Date() })
        })

      const handle = Effect.fnUntraced(function*(connection: Connection) {
        const request = decodeConsult(connection.frame)
        if (Result.isFailure(request)) {
          const { agency, code, message } = request.failure
          connection.refuse(code, message, { agency })
          return connection.endTurn()
        }
        const { agency, wait } = request.success
        if (!lottery.isAgency(agency)) {
          connection.refuse("UNKNOWN_AGENCY", "the agency is not in the roster", { agency })
          return connection.endTurn()
        }
        connection.agency = agency
        const draw = yield* lottery.current
        if (Option.isSome(draw)) yield* tell(connection, agency, draw.value)
        else if (wait) {
          connection.waitingForDraw = true
          const fiber = yield* lottery.drawn.pipe(
            Effect.flatMap((held) => tell(connection, agency, held)),
            Effect.catchCause((cause) =>
              Effect.sync(() => {
                if (Cause.hasInterruptsOnly(cause)) return
                keeper.endConnection("waiting consult", connection, cause)
              })
            ),
            Effect.forkIn(scope)
          )
          waiting.set(connection, fiber)
        } else {
          connection.answer(
            encodeAnswer({ _tag: "WinnersNotReady", retryAfterMs: consults.retryAfterMs })
          )
          connection.close("served")
        }
        connection.endTurn()
      })

      return ConsultDesk.of({ handle })
    })
  )
}
