/**
 * All connections of both doors: their number, the memory they share, their deadlines, and the queue of turns. The queue
 * is as large as the number of connections and a connection is in it at most once, so an offer never waits: a full
 * queue with every worker suspended in an offer would be a deadlock.
 */
import { Context, Effect, Layer, Queue } from "effect"
import type { CloseReason } from "../../domain/CloseReason.ts"
import { consultFrameBytesMax } from "../../domain/Limits.ts"
import { Keeper } from "../base/Keeper.ts"
import { OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import { Connection, type ConnectionContext, type Door, type Transport } from "./Connection.ts"
import { DeadlineQueue } from "./DeadlineQueue.ts"
import { FrameBudget } from "./FrameBudget.ts"
import { Refusals } from "./Refusals.ts"

/**
 * At shutdown a peer that ignores our FIN is not waited for longer: the sweep at this pace comes on top of the usual one,
 * so it is a bound, and a third less with the default `closeLingerMs`.
 */
const shutdownLingerMs = 500

/** Gives turns in the order in which frames are whole, and connections their claims. */
const intoQueue = (turns: Queue.Queue<Connection>) => {
  let claims = 0
  return (connection: Connection): void => {
    if (connection.claim === 0) connection.claim = ++claims
    Queue.offerUnsafe(turns, connection)
  }
}

/** The deadlines that connections share, swept for as long as the scope lives. */
const sweptDeadlines = Effect.gen(function*() {
  const { connections: limits } = yield* Settings
  const keeper = yield* Keeper
  const frameDeadlines = new DeadlineQueue<Connection>()
  const answerDeadlines = new DeadlineQueue<Connection>()
  const lingerDeadlines = new DeadlineQueue<Connection>()
  const roomDeadlines = new DeadlineQueue<Connection>()
  yield* frameDeadlines.run(
    keeper,
    limits.frameDeadlineMs,
    keeper.forEach("deadline of a frame", (connection) => connection.onFrameDeadline())
  )
  yield* answerDeadlines.run(
    keeper,
    limits.answerDeadlineMs,
    keeper.forEach("deadline of answers", (connection) => connection.onAnswerDeadline())
  )
  const lingered = keeper.forEach<Connection>(
    "deadline of a close",
    (connection) => connection.onLingerDeadline()
  )
  yield* lingerDeadlines.run(keeper, limits.closeLingerMs, lingered)
  yield* roomDeadlines.run(
    keeper,
    limits.roomWaitMs,
    keeper.forEach("deadline for room", (connection) => connection.onRoomDeadline())
  )
  return { frameDeadlines, answerDeadlines, lingerDeadlines, roomDeadlines, lingered }
})

export class Connections extends Context.Service<Connections, {
  /** Connections that hold a whole frame, in the order in which they got it. */
  readonly turns: Queue.Queue<Connection>
  /** Takes a socket in, or refuses it when there are as many as there may be. */
  readonly open: (door: Door, transport: Transport) => Connection
  readonly onClosed: (callback: (connection: Connection) => void) => void
  /** Lets frames already read be dealt with, then closes everything; `graceMs` at most. */
  readonly drain: (graceMs: number) => Effect.Effect<void>
  readonly size: () => number
}>()("loteria-nacional/services/intake/Connections") {
  static readonly layer = Layer.effect(
    Connections,
    Effect.gen(function*() {
      const { connections: limits } = yield* Settings
      const log = yield* OperatorLog
      const refusals = yield* Refusals
      const keeper = yield* Keeper
      const turns = yield* Effect.acquireRelease(
        Queue.bounded<Connection>(limits.max),
        Queue.shutdown
      )
      const all = new Set<Connection>()
      const closedCallbacks: Array<(connection: Connection) => void> = []
      let draining = false
      let onClosedWhileDraining: (() => void) | undefined

      const deadlines = yield* sweptDeadlines
      const shared: Omit<ConnectionContext, "door"> = {
        frameBytesMax: limits.frameBytesMax,
        budget: new FrameBudget(limits.frameBudgetBytes),
        ...deadlines,
        roomWaitMs: limits.roomWaitMs,
        keeper,
        onTurn: intoQueue(turns),
        onRefused: refusals.write,
        onClosed: (connection, reason: CloseReason) => {
          all.delete(connection)
          for (const callback of closedCallbacks) callback(connection)
          log.write("DEBUG", "connection_closed", "success", {
            door: connection.door,
            ip: connection.transport.address,
            ...(connection.agency === undefined ? {} : { agencia: connection.agency }),
            reason
          })
          onClosedWhileDraining?.()
        }
      }
      const consultBytesMax = Math.min(consultFrameBytesMax, limits.frameBytesMax)
      const contexts = {
        bets: { ...shared, door: "bets" },
        consult: { ...shared, door: "consult", frameBytesMax: consultBytesMax }
      } as const

      const open = (door: Door, transport: Transport): Connection => {
        const connection = new Connection(contexts[door], transport)
        const full = all.size >= limits.max
        all.add(connection)
        if (draining) connection.close("shutdown")
        else if (full) {
          connection.refuse(
            "TOO_MANY_CONNECTIONS",
            "the central holds as many connections as it may"
          )
        }
        return connection
      }

      const of = (door: Door) => [...all].filter((connection) => connection.door === door)

      /** Waits until no connection of the door is left. */
      const awaitNone = (door: Door) =>
        Effect.callback<void>((resume) => {
          onClosedWhileDraining = () => {
            for (const connection of all) if (connection.door === door) return
            resume(Effect.void)
          }
          onClosedWhileDraining()
        })

      const drained = keeper.forEach<Connection>(
        "connection drained",
        (connection) => connection.drain()
      )
      const shutDown = keeper.forEach<Connection>(
        "connection drained",
        (connection) => connection.close("shutdown")
      )

      const drain = (graceMs: number) =>
        Effect.gen(function*() {
          draining = true
          // Peers that ignore our FIN are not waited for, those whose chunk is on its way to disk are.
          yield* deadlines.lingerDeadlines.run(keeper, shutdownLingerMs, deadlines.lingered)
          for (const connection of of("bets")) drained(connection)
          yield* Effect.timeoutOption(awaitNone("bets"), graceMs)
          for (const connection of of("consult")) shutDown(connection)
          yield* Effect.timeoutOption(awaitNone("consult"), 2 * shutdownLingerMs)
          for (const connection of all) deadlines.lingered(connection)
        }).pipe(Effect.scoped)

      return Connections.of({
        turns,
        open,
        onClosed: (callback) => closedCallbacks.push(keeper.forEach("connection closed", callback)),
        drain,
        size: () => all.size
      })
    })
  )
}
