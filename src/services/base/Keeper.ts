/**
 * The keeper watches every fiber, and every callback that Node calls. A fiber that dies unwatched is silent, and a throw
 * in a callback ends the process. So each root (a fiber, or a call from outside) is in the table below, with what a
 * defect in it ends:
 *
 * - `connection`: the connection on which it happened, and nothing else.
 * - `nothing`: the root serves all connections and is started again, as often as Limits allows; then the server ends.
 * - `server`: the root is in the ledger's path, and what follows can't be trusted. The server shuts down in order.
 *
 * Each defect is counted, and logged with its cause. An interruption is not a defect: it is how fibers are ended.
 */
import { Cause, Context, Effect, Layer, type Scope } from "effect"
import { restartsMax, restartWindowMs } from "../../domain/Limits.ts"
import { Lifetime } from "./Lifetime.ts"
import { type Details, type LogWriter, OperatorLog } from "./OperatorLog.ts"

export const roots = {
  // Events of a socket, and callbacks of a connection.
  "connection in": "connection",
  "connection taken in": "connection",
  "socket data": "connection",
  "socket end": "connection",
  "socket close": "connection",
  "answers sent": "connection",
  "connection finished": "connection",
  "room for a frame": "connection",
  "deadline of a frame": "connection",
  "deadline of answers": "connection",
  "deadline of a close": "connection",
  "deadline for room": "connection",
  "connection closed": "connection",
  "connection drained": "connection",
  // Work for one connection.
  "turn": "connection",
  "waiting consult": "connection",
  "answer to a stored chunk": "connection",
  "answer to a chunk not stored": "connection",
  // Work for all connections.
  "acceptor": "nothing",
  "listener's error": "nothing",
  "workers": "nothing",
  "deadlines": "nothing",
  "parsers": "nothing",
  "checkpoints": "nothing",
  "commit lane": "nothing",
  "poll of the database": "nothing",
  "notifications of the database": "nothing",
  "descriptors": "nothing",
  "look at the ledger's place": "nothing",
  // The ledger's path.
  "group commit": "server",
  "draw": "server",
  "notes of who was told": "server",
  "question to the ledger": "server",
  "news of other servers": "server"
} as const satisfies Readonly<Record<string, Ends>>

export type Ends = "connection" | "nothing" | "server"
export type Root<Ending extends Ends = Ends> = {
  [Name in keyof typeof roots]: (typeof roots)[Name] extends Ending ? Name : never
}[keyof typeof roots]

/** Something that can be ended without ending anything else. */
export interface Endable {
  /** Its description in the log. */
  readonly described: Details
  /** Ends it, whatever state the defect left it in. */
  readonly endByDefect: () => void
}

export class RootKeeper {
  readonly #log: LogWriter
  readonly #endServer: (root: string, cause: Cause.Cause<unknown>) => void
  /** The recent restarts of each root, by time. */
  readonly #restarts = new Map<Root, Array<number>>()
  #defects = 0

  constructor(log: LogWriter, endServer: (root: string, cause: Cause.Cause<unknown>) => void) {
    this.#log = log
    this.#endServer = endServer
  }

  /** The number of defects since the start. */
  get defects(): number {
    return this.#defects
  }

  /** Records a defect in the work for one connection, and ends that connection. */
  endConnection(root: Root<"connection">, one: Endable, cause: Cause.Cause<unknown>): void {
    this.#note(root, cause, one.described)
    try {
      one.endByDefect()
    } catch (defect) {
      this.#note(root, Cause.die(defect), one.described)
    }
  }

  /** Wraps a callback of one connection. */
  forConnection<A = void>(
    root: Root<"connection">,
    one: Endable,
    body: (value: A) => void
  ): (value: A) => void {
    return (value) => {
      try {
        body(value)
      } catch (defect) {
        this.endConnection(root, one, Cause.die(defect))
      }
    }
  }

  /** Wraps a callback that gets the connection as its argument. */
  forEach<One extends Endable>(
    root: Root<"connection">,
    body: (one: One) => void
  ): (one: One) => void {
    return (one) => this.forConnection(root, one, body)(one)
  }

  /** Wraps a callback that serves all connections. */
  forAll<A = void>(root: Root<"nothing">, body: (value: A) => void): (value: A) => void {
    return (value) => {
      try {
        body(value)
      } catch (defect) {
        this.restarts(root, Cause.die(defect))
      }
    }
  }

  /** Starts a fiber of the scope that repeats a step forever and serves all connections. */
  loop<R>(
    root: Root<"nothing">,
    step: Effect.Effect<void, never, R>
  ): Effect.Effect<void, never, R | Scope.Scope> {
    const steps = Effect.forever(step, { disableYield: true })
    const kept: Effect.Effect<void, never, R> = Effect.catchCause(
      steps,
      (cause) =>
        Cause.hasInterruptsOnly(cause)
          ? Effect.failCause(cause)
          : Effect.suspend(() => this.restarts(root, cause) ? kept : Effect.void)
    )
    return Effect.asVoid(Effect.forkScoped(kept))
  }

  /** Starts a fiber of the scope in the ledger's path. */
  inLedgersPath<A, E, R>(
    root: Root<"server">,
    effect: Effect.Effect<A, E, R>
  ): Effect.Effect<void, never, R | Scope.Scope> {
    return effect.pipe(
      Effect.onError((cause) => Effect.sync(() => this.endServer(root, cause))),
      Effect.forkScoped,
      Effect.asVoid
    )
  }

  /** Records a defect in the ledger's path, and ends the server. */
  endServer(root: Root<"server">, cause: Cause.Cause<unknown>): void {
    if (Cause.hasInterruptsOnly(cause)) return
    this.#note(root, cause)
    this.#endServer(root, cause)
  }

  /** Records a defect in work for all connections. Gives whether it may start again; if not, the server ends. */
  restarts(root: Root<"nothing">, cause: Cause.Cause<unknown>): boolean {
    if (Cause.hasInterruptsOnly(cause)) return true
    this.#note(root, cause)
    const now = performance.now()
    const recent = (this.#restarts.get(root) ?? []).filter((at) => now - at < restartWindowMs)
    recent.push(now)
    this.#restarts.set(root, recent)
    if (recent.length <= restartsMax) return true
    this.#endServer(`${root}, started again ${restartsMax} times,`, cause)
    return false
  }

  #note(root: Root, cause: Cause.Cause<unknown>, details: Details = {}): void {
    this.#defects++
    this.#log.write("CRITICAL", "defect", "fail", {
      root,
      ends: roots[root],
      ...details,
      defects: this.#defects,
      cause: Cause.pretty(cause)
    })
  }
}

export class Keeper extends Context.Service<Keeper, RootKeeper>()(
  "loteria-nacional/services/base/Keeper"
) {
  static readonly layer = Layer.effect(
    Keeper,
    Effect.gen(function*() {
      const lifetime = yield* Lifetime
      return new RootKeeper(yield* OperatorLog, lifetime.failUnsafe)
    })
  )
}
