/** The transport over a TCP socket: the connection drives the socket, and the socket's events drive the connection. */
import type { Socket } from "node:net"
import type { RootKeeper } from "../base/Keeper.ts"
import type { Connection, Transport } from "./Connection.ts"

/** A dual-stack listener shows 127.0.0.1 as `::ffff:127.0.0.1`. */
const addressOf = (socket: Socket): string =>
  (socket.remoteAddress ?? "unknown").replace(/^::ffff:(?=\d+\.)/, "")

export const socketTransport = (socket: Socket): Transport => {
  // A connection resumes after every frame, and is rarely paused.
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
      // The callback runs after everything written earlier is sent, or with the error that ends the socket.
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

/** Lets the socket drive the connection. The acceptor handles the socket's errors. */
export const attach = (socket: Socket, connection: Connection, keeper: RootKeeper): void => {
  socket.on(
    "data",
    keeper.forConnection("socket data", connection, (bytes: Buffer) => connection.onBytes(bytes))
  )
  socket.on("end", keeper.forConnection("socket end", connection, () => connection.onPeerEnd()))
  // No later event would end the connection if this one failed.
  const gone = {
    get described() {
      return connection.described
    },
    endByDefect: () => connection.endGone()
  }
  socket.on("close", keeper.forConnection("socket close", gone, () => connection.onGone()))
  // The socket was reset while it waited in the queue: its events are over.
  if (socket.closed) connection.onGone()
}
