/** A connection's transport over a TCP socket of Node, and the socket's events as the connection's calls. */
import type { Socket } from "node:net"
import type { Connection, Transport } from "../Connection.ts"

/** `::ffff:127.0.0.1` is how a dual-stack listener shows 127.0.0.1. */
const addressOf = (socket: Socket): string =>
  (socket.remoteAddress ?? "unknown").replace(/^::ffff:(?=\d+\.)/, "")

export const socketTransport = (socket: Socket): Transport => ({
  address: addressOf(socket),
  get unsent() {
    return socket.writableLength
  },
  write: (bytes) => {
    if (socket.writable) socket.write(bytes)
  },
  pause: () => {
    socket.pause()
  },
  resume: () => {
    socket.resume()
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
})

/** Lets the socket drive the connection. */
export const attach = (socket: Socket, connection: Connection): void => {
  socket.on("data", (bytes: Buffer) => connection.onBytes(bytes))
  socket.on("end", () => connection.onPeerEnd())
  // The error is followed by "close", which is all that matters here.
  socket.on("error", () => {})
  socket.on("close", () => connection.onGone())
}
