/** A connection's transport over a TCP socket of Node, and the socket's events as the connection's calls. */
import type { Socket } from "node:net"
import type { RootKeeper } from "../base/Keeper.ts"
import type { Connection, Transport } from "./Connection.ts"

/** `::ffff:127.0.0.1` is how a dual-stack listener shows 127.0.0.1. */
const addressOf = (socket: Socket): string =>
  (socket.remoteAddress ?? "unknown").replace(/^::ffff:(?=\d+\.)/, "")

export const socketTransport = (socket: Socket): Transport => {
  // Asked of each frame, and rarely a change.
  let paused = false
  return {
    address: addressOf(socket),
    port: socket.remotePort ?? 0,
    get unsent() {
      return socket.writableLength
    },
    write: (bytes) => {
      if (socket.writable) socket.write(bytes)
    },
    pause: () => {
      if (!paused) socket.pause()
      paused = true
    },
    resume: () => {
      if (paused) socket.resume()
      paused = false
    },
    whenSent: (callback) => {
      // A callback of write comes after everything written before it, or with the error that ends the socket.
      if (socket.writable) socket.write(new Uint8Array(0), callback)
    },
    finish: (callback) => {
      if (socket.writable) socket.end(callback)
    },
    destroy: () => {
      socket.destroy()
    }
  }
}

/** Lets the socket drive the connection. Errors of the socket are heeded already: see the acceptor. */
export const attach = (socket: Socket, connection: Connection, keeper: RootKeeper): void => {
  socket.on(
    "data",
    keeper.forConnection("socket data", connection, (bytes: Buffer) => connection.onBytes(bytes))
  )
  socket.on("end", keeper.forConnection("socket end", connection, () => connection.onPeerEnd()))
  // Nothing comes after it that would end the connection another time.
  const gone = {
    get described() {
      return connection.described
    },
    endByDefect: () => connection.endGone()
  }
  socket.on("close", keeper.forConnection("socket close", gone, () => connection.onGone()))
  // It was reset before it was taken in: its events are over.
  if (socket.closed) connection.onGone()
}
