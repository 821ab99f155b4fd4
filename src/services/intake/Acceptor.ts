/** What both doors share: a scoped listener, and the acceptor fiber behind it. */
import { Cause, Effect, Queue, Schema, type Scope } from "effect"
import { createServer, type Server, type Socket } from "node:net"
import { consultAcceptLines } from "../../domain/Limits.ts"
import { BoundedLines } from "../base/BoundedLines.ts"
import { type Endable, Keeper } from "../base/Keeper.ts"
import { OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import type { Door } from "./Connection.ts"
import { Connections } from "./Connections.ts"
import { attach, socketTransport } from "./SocketTransport.ts"

/** A port can't be opened. `problem` names the port and the remedy. */
export class ListenFailed extends Schema.TaggedError<ListenFailed>()("ListenFailed", {
  resource: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.resource}: ${this.problem}`
  }
}

export interface ListenOptions {
  readonly host?: string
  readonly port: number
}

/** An error of `listen`, in words for the person who configured the port. */
export const listenProblem = (error: unknown, { host, port }: ListenOptions): string => {
  const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error"
  const place = `port ${port}${host === undefined ? "" : ` of ${host}`}`
  switch (code) {
    case "EADDRINUSE":
      return `${place} is in use; stop the other program or configure another port`
    case "EACCES":
      return `${place} may not be opened by this user; use a port above 1023`
    case "EADDRNOTAVAIL":
      return `${place}: this machine doesn't have that address`
    default:
      return `${place} can't be opened (${code})`
  }
}

/**
 * A paused socket reads ahead until it holds this many bytes. With 1 it stops after one read (64 KiB at most). A socket
 * that flows isn't slowed down: its bytes are passed on as they arrive.
 */
const readAheadBytes = 1

/**
 * Logs each accepted connection. Agencies may poll the consult door all night (`wait: false`), so its lines are bounded
 * and name the door. The line of the bets door is the one that existing scripts look for.
 */
const announcing = Effect.fnUntraced(function*(
  door: Door
): Effect.fn.Return<(ip: string) => void, never, OperatorLog | Scope.Scope> {
  const log = yield* OperatorLog
  if (door === "bets") return (ip) => log.write("INFO", "accept_connections", "success", { ip })
  const lines = new BoundedLines<Door>(consultAcceptLines, (_, cantidad) => {
    log.write("INFO", "accept_connections", "left_out", { door, cantidad })
  })
  yield* Effect.addFinalizer(() => Effect.sync(() => lines.endWindow()))
  return (ip) => {
    if (lines.take(door)) log.write("INFO", "accept_connections", "success", { ip, door })
  }
})

/** Starts to listen. Gives the port. */
const listen = (
  resource: string,
  server: Server,
  options: ListenOptions & { readonly backlog: number }
): Effect.Effect<number, ListenFailed> =>
  Effect.callback<number, ListenFailed>((resume) => {
    server.once("error", (error) => {
      resume(Effect.fail(new ListenFailed({ resource, problem: listenProblem(error, options) })))
    })
    server.listen(options, () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

/** The queue between a door's listener and the fiber that takes its sockets in. */
const acceptedSockets = Effect.gen(function*() {
  const { connections: { max } } = yield* Settings
  return yield* Effect.acquireRelease(Queue.bounded<Socket>(max), Queue.shutdown)
})

/** A socket that isn't a connection yet, as the keeper ends it. */
const unknownPeer = (door: Door, socket: Socket): Endable => ({
  described: { door },
  endByDefect: () => socket.destroy()
})

/** The acceptor fiber: turns accepted sockets into connections. */
const acceptor = Effect.fnUntraced(function*(door: Door, accepted: Queue.Dequeue<Socket>) {
  const connections = yield* Connections
  const keeper = yield* Keeper
  const announce = yield* announcing(door)
  const welcome = (socket: Socket): void => {
    const transport = socketTransport(socket)
    announce(transport.address)
    const connection = connections.open(door, transport)
    try {
      attach(socket, connection, keeper)
    } catch (defect) {
      // The connection is counted already, and no event may ever report its end.
      connection.endGone()
      throw defect
    }
  }
  const step = Effect.map(Queue.take(accepted), (socket) => {
    try {
      welcome(socket)
    } catch (defect) {
      const peer = unknownPeer(door, socket)
      keeper.endConnection("connection taken in", peer, Cause.die(defect))
    }
  })
  yield* keeper.loop("acceptor", step)
})

/** A listener that only puts sockets into the queue. */
const listener = Effect.fnUntraced(function*(door: Door, accepted: Queue.Enqueue<Socket>) {
  const { connections: { keepAliveMs } } = yield* Settings
  const keeper = yield* Keeper
  return createServer(
    {
      allowHalfOpen: true,
      highWaterMark: readAheadBytes,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveMs
    },
    (socket) => {
      // Immediately: a socket that breaks while it waits in the queue must not end the process. "close" follows.
      socket.on("error", () => {})
      try {
        if (!Queue.offerUnsafe(accepted, socket)) socket.destroy()
      } catch (defect) {
        keeper.endConnection("connection in", unknownPeer(door, socket), Cause.die(defect))
      }
    }
  )
})

/** Opens a door: a listener and an acceptor fiber, both owned by the scope. Gives the port. */
export const openDoor = Effect.fnUntraced(
  function*(door: Door, options: ListenOptions): Effect.fn.Return<
    number,
    ListenFailed,
    Connections | Keeper | OperatorLog | Settings | Scope.Scope
  > {
    const { connections: { listenBacklog } } = yield* Settings
    const log = yield* OperatorLog
    const keeper = yield* Keeper
    const resource = `${door}_listener`
    const accepted = yield* acceptedSockets
    yield* acceptor(door, accepted)
    const server = yield* listener(door, accepted)
    const port = yield* Effect.acquireRelease(
      listen(resource, server, { ...options, backlog: listenBacklog }),
      () =>
        Effect.gen(function*() {
          // This closes the listener only. Its connections are drained later.
          server.close()
          for (const socket of yield* Queue.clear(accepted)) socket.destroy()
          log.write("INFO", "close_resource", "success", { resource })
        })
    )
    const onError = (error: Error) =>
      log.write("ERROR", "accept_connections", "fail", { problem: error.message })
    server.on("error", keeper.forAll("listener's error", onError))
    log.write("INFO", "listen", "success", { resource, port })
    return port
  }
)
