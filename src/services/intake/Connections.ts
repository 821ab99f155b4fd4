/**
 * The connections of both doors: their number, their shared memory, their deadlines, the queue of turns, and the drain at
 * shutdown. The queue holds one turn for each connection, and no connection has two turns, so an offer never waits. A
 * full queue with every worker suspended in an offer would be a deadlock.
 */
import { Context, Effect, Layer, Queue } from "effect"
import { invariant } from "../../domain/Invariant.ts"
import { consultFrameBytesMax } from "../../domain/Limits.ts"
import { tooManyConnections } from "../../domain/Verdict.ts"
import { Keeper, type RootKeeper } from "../base/Keeper.ts"
import { OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import type { Connection, ConnectionContext, Door, Transport } from "./Connection.ts"
import { FrameBudget } from "./FrameBudget.ts"
import { Refusals } from "./Refusals.ts"
import { Session, type SessionContext } from "./Session.ts"
import { SharedDeadline } from "./SharedDeadline.ts"
import { Turn } from "./Turn.ts"

/** The longest wait, at shutdown, for a peer that ignores our FIN. */
const shutdownLingerMs = 500

const lingered = (connection: Connection): void => connection.onLingerDeadline()

/** The deadlines that connections share, swept for as long as the scope lives. */
const sweptDeadlines = Effect.gen(function*() {
  const { connections: limits } = yield* Settings
  const keeper = yield* Keeper
  const swept = Effect.fnUntraced(function*(
    root: Parameters<typeof keeper.forEach>[0],
    durationMs: number,
    onExpired: (connection: Connection) => void
  ) {
    const deadline = new SharedDeadline<Connection>()
    yield* deadline.run(keeper, durationMs, keeper.forEach(root, onExpired))
    return deadline
  })
  return {
    frame: yield* swept(
      "deadline of a frame",
      limits.frameDeadlineMs,
      (connection) => connection.onFrameDeadline()
    ),
    answers: yield* swept(
      "deadline of answers",
      limits.answerDeadlineMs,
      (connection) => connection.onAnswerDeadline()
    ),
    room: yield* swept(
      "deadline for room",
      limits.roomWaitMs,
      (connection) => connection.onRoomDeadline()
    ),
    linger: yield* swept("deadline of a close", limits.closeLingerMs, lingered)
  }
})

/** Consults are short: their door takes shorter frames. */
const contextsOfDoors = (shared: Omit<ConnectionContext, "door">) => ({
  bets: { ...shared, door: "bets" },
  consult: {
    ...shared,
    door: "consult",
    frameBytesMax: Math.min(consultFrameBytesMax, shared.frameBytesMax)
  }
} as const)

/** The sessions of both doors. */
class OpenSessions {
  readonly #keeper: RootKeeper
  readonly #sessions = new Set<Session>()
  #onRemoved = (): void => {}

  constructor(keeper: RootKeeper) {
    this.#keeper = keeper
  }

  get size(): number {
    return this.#sessions.size
  }

  add(session: Session): void {
    this.#sessions.add(session)
  }

  remove(session: Session): void {
    this.#sessions.delete(session)
    this.#onRemoved()
  }

  /** Calls `act` with each connection of a door. A defect ends the connection on which it happens. */
  each(door: Door, act: (connection: Connection) => void): void {
    const kept = this.#keeper.forEach("connection drained", act)
    for (const { connection } of this.#sessions) if (connection.door === door) kept(connection)
  }

  /** Waits until no session of a door is left. One fiber may wait at a time. */
  awaitNone(door: Door): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      this.#onRemoved = () => {
        for (const { connection } of this.#sessions) if (connection.door === door) return
        resume(Effect.void)
      }
      this.#onRemoved()
    })
  }
}

/** The drain at shutdown. `shutdownLinger` is in force once it begins. */
const drainer = Effect.fnUntraced(function*(
  sessions: OpenSessions,
  shutdownLinger: SharedDeadline<Connection>
) {
  const { connections: { closeLingerMs } } = yield* Settings
  const keeper = yield* Keeper
  return Effect.fnUntraced(function*(graceMs: number) {
    yield* shutdownLinger.run(
      keeper,
      Math.min(closeLingerMs, shutdownLingerMs),
      keeper.forEach("deadline of a close", lingered)
    )
    // The drain waits for chunks on their way to disk, but hardly for peers that ignore our FIN.
    sessions.each("consult", (connection) => connection.lingerAnew())
    sessions.each("bets", (connection) => {
      connection.lingerAnew()
      connection.drain()
    })
    yield* Effect.timeoutOption(sessions.awaitNone("bets"), graceMs)
    sessions.each("consult", (connection) => connection.close("shutdown"))
    yield* Effect.timeoutOption(sessions.awaitNone("consult"), 2 * shutdownLingerMs)
    for (const door of ["consult", "bets"] as const) {
      sessions.each(door, (connection) => connection.cutOff("connection_lost"))
    }
  }, Effect.scoped)
})

export class Connections extends Context.Service<Connections, {
  /** Turns of whole frames, in the order in which they became whole. */
  readonly turns: Queue.Dequeue<Turn>
  /** Puts a turn that waited at a desk into the queue again. */
  readonly offer: (turn: Turn) => void
  /** Makes a connection of a peer. Above the limit, the connection is refused and closed. */
  readonly open: (door: Door, transport: Transport) => Connection
  /** The callback runs for each session once its connection has ended and its turn is over. */
  readonly onClosed: (callback: (session: Session) => void) => void
  /** Finishes the frames that are read, then closes every connection; takes `graceMs` at most, and 1 s. */
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
      const { linger, ...deadlines } = yield* sweptDeadlines
      /** In the place of `linger` from the drain on. */
      const shutdownLinger = new SharedDeadline<Connection>()
      const turns = yield* Effect.acquireRelease(Queue.bounded<Turn>(limits.max), Queue.shutdown)
      const sessions = new OpenSessions(keeper)
      const closedCallbacks: Array<(session: Session) => void> = []
      let arrivals = 0
      let draining = false

      const offer = (turn: Turn): void =>
        invariant(Queue.offerUnsafe(turns, turn), "a turn finds room in the queue")

      const sessionContext: SessionContext = {
        roomWaitMs: limits.roomWaitMs,
        nextArrival: () => ++arrivals,
        onFrame: (session, frame) => offer(new Turn(session, frame)),
        onRefused: refusals.write,
        onClosed: (session, reason) => {
          for (const callback of closedCallbacks) callback(session)
          log.write("DEBUG", "connection_closed", "success", {
            ...session.connection.described,
            reason
          })
          sessions.remove(session)
        }
      }
      const contexts = contextsOfDoors({
        frameBytesMax: limits.frameBytesMax,
        budget: new FrameBudget(limits.frameBudgetBytes),
        keeper,
        deadlines: {
          ...deadlines,
          get linger() {
            return draining ? shutdownLinger : linger
          }
        }
      })

      const open = (door: Door, transport: Transport): Connection => {
        const session = new Session(sessionContext, contexts[door], transport)
        const full = sessions.size >= limits.max
        sessions.add(session)
        if (draining) session.connection.close("shutdown")
        else if (full) session.carryOut(tooManyConnections)
        return session.connection
      }

      const drain = yield* drainer(sessions, shutdownLinger)
      return Connections.of({
        turns,
        offer,
        open,
        onClosed: (callback) => closedCallbacks.push(keeper.forEach("connection closed", callback)),
        drain: (graceMs) =>
          Effect.suspend(() => {
            draining = true
            return drain(graceMs)
          }),
        size: () => sessions.size
      })
    })
  )
}
