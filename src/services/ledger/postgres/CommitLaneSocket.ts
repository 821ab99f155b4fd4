/**
 * The socket of a session with PostgreSQL, once the library has set the session up on it: encrypted as its URL says,
 * logged in, paused, and with nobody who reads it any more.
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as PgProtocol from "@effect/sql-pg/PgProtocol"
import { Effect, type Scope } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { isIP, type Socket } from "node:net"
import { Duplex } from "node:stream"
import * as tls from "node:tls"
import { linkConfig, type LinkOptions, notConnected, openSocket, tlsOptions } from "./Links.ts"

/** Opens a session until the scope ends. The library's goodbye is then the last that is written. */
export const openSession = (
  options: LinkOptions
): Effect.Effect<Duplex, SqlError, Scope.Scope> => {
  const { connectMs } = options
  return Effect.timeoutOrElse(setUp(options), {
    duration: connectMs,
    orElse: () => Effect.fail(notConnected(`No session within ${connectMs} ms`))
  })
}

const setUp = Effect.fnUntraced(function*(
  options: LinkOptions
): Effect.fn.Return<Duplex, SqlError, Scope.Scope> {
  const { url } = options
  const encryption = yield* Effect.try({
    try: () => tlsOptions(url),
    catch: (cause) => notConnected("The certificates can't be read", cause)
  })
  const plain = yield* kept(() => openSocket(url))
  const socket = encryption === false
    ? plain
    : yield* encrypted(plain, url.host, encryption)
  const passage = new Passage(socket)
  yield* PgConnection.make({
    ...linkConfig(options),
    ssl: false,
    multiplex: false,
    stream: () => passage
  })
  passage.leave()
  return socket
})

/** Until the scope ends. Whoever uses it learns of an error from its end. */
const kept = <S extends Socket>(open: () => S): Effect.Effect<S, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => open().on("error", () => {})),
    (socket) => Effect.sync(() => socket.destroySoon())
  )

const encrypted = Effect.fnUntraced(function*(
  plain: Socket,
  host: string,
  options: tls.ConnectionOptions
) {
  plain.write(PgProtocol.encodeSslRequest())
  const reply = yield* firstBytes(plain)
  // What comes with the reply isn't encrypted: somebody on the way may have added it.
  if (reply.length !== 1 || reply.toString("latin1") !== "S") {
    return yield* notConnected("The server doesn't encrypt connections")
  }
  const socket = yield* kept(() =>
    tls.connect({ host, ...serverName(host), ...options, socket: plain })
  )
  yield* Effect.callback<void, SqlError>((resume) => {
    socket.once("secureConnect", () => resume(Effect.void))
    socket.once("error", (cause) => resume(Effect.fail(notConnected(cause.message, cause))))
  })
  return socket
})

/** An address is no name to ask for. */
const serverName = (host: string) => isIP(host) === 0 ? { servername: host } : {}

const firstBytes = (socket: Socket): Effect.Effect<Buffer, SqlError> =>
  Effect.callback((resume) => {
    socket.once("data", (bytes: Buffer) => resume(Effect.succeed(bytes)))
    socket.once("error", (cause) => resume(Effect.fail(notConnected(cause.message, cause))))
    socket.once("close", () => resume(Effect.fail(notConnected("The connection was closed"))))
  })

/** Lets the library use a socket as if it were its own, until it is left; from then on the library can only write. */
class Passage extends Duplex {
  readonly #socket: Duplex
  readonly #onData = (bytes: Uint8Array): void => {
    this.push(bytes)
  }

  constructor(socket: Duplex) {
    super()
    this.#socket = socket
    this.on("error", () => {})
    socket.on("data", this.#onData)
    socket.once("error", (error) => this.destroy(error))
    socket.once("close", () => this.destroy())
  }

  leave(): void {
    this.#socket.off("data", this.#onData)
    this.#socket.pause()
  }

  override _read(): void {
    // What comes is pushed.
  }

  override _write(
    bytes: Uint8Array,
    _: BufferEncoding,
    done: (error?: Error | null) => void
  ): void {
    this.#socket.write(bytes, done)
  }
}
