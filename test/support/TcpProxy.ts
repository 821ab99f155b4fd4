/** A TCP proxy with the faults of a network: it stalls, loses, cuts or refuses, in one direction or both. */
import { once } from "node:events"
import { connect, createServer, type Server, type Socket } from "node:net"

/** Seen from the client. */
export type Direction = "up" | "down"
const both: ReadonlyArray<Direction> = ["up", "down"]

/**
 * What happens to bytes: `pass`; `stall`: they arrive after the stall; `lose`: they never arrive, and their
 * connection is cut when the fault ends, as its peers would find out.
 */
export type Fault = "pass" | "stall" | "lose"

/** A stalled connection's sender isn't read beyond so much: it notices when its own buffers are full, or never. */
const heldBytesMax = 1024 * 1024

interface Pair {
  /** Where each direction comes from. */
  readonly up: Socket
  readonly down: Socket
  readonly held: Record<Direction, Array<Uint8Array>>
  lost: boolean
}

export class TcpProxy implements AsyncDisposable {
  readonly port: number
  /** The port of the server behind it, for the connections that are opened from now on. */
  target: () => number
  readonly #listener: Server
  readonly #pairs = new Set<Pair>()
  readonly #faults: Record<Direction, Fault> = { up: "pass", down: "pass" }
  #refuses = false

  private constructor(listener: Server, port: number, target: () => number) {
    this.#listener = listener
    this.port = port
    this.target = target
    listener.on("connection", (client) => this.#accept(client))
  }

  static async start(target: number | (() => number)): Promise<TcpProxy> {
    const listener = createServer({ allowHalfOpen: true }).listen({ port: 0, host: "127.0.0.1" })
    await once(listener, "listening")
    const address = listener.address()
    if (address === null || typeof address === "string") throw new Error("no port")
    const port = typeof target === "number" ? () => target : target
    return new TcpProxy(listener, address.port, port)
  }

  /** Open connections. */
  get connections(): number {
    return this.#pairs.size
  }

  /** What stalled connections hold back. */
  held(direction: Direction): number {
    return [...this.#pairs].reduce((sum, { held }) => sum + bytesOf(held[direction]), 0)
  }

  /** From now on, for old and new connections. */
  set(fault: Fault, directions: ReadonlyArray<Direction> = both): void {
    for (const direction of directions) this.#faults[direction] = fault
    for (const pair of this.#pairs) {
      if (pair.lost && this.#passes) this.#cut(pair)
      else for (const direction of directions) this.#apply(pair, direction)
    }
  }

  /** Everything as it should be. */
  heal(): void {
    this.#refuses = false
    this.set("pass")
  }

  /** Resets all connections; new ones are as before. */
  cut(): void {
    for (const pair of this.#pairs) this.#cut(pair)
  }

  /** Resets all connections, and new ones at once. */
  refuse(): void {
    this.#refuses = true
    this.cut()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    this.#listener.close()
    await once(this.#listener, "close")
  }

  get #passes(): boolean {
    return both.every((direction) => this.#faults[direction] === "pass")
  }

  #accept(client: Socket): void {
    client.on("error", () => {})
    if (this.#refuses) {
      client.resetAndDestroy()
      return
    }
    const server = connect({ host: "127.0.0.1", port: this.target(), allowHalfOpen: true })
    const pair: Pair = { up: client, down: server, held: { up: [], down: [] }, lost: false }
    this.#pairs.add(pair)
    for (const direction of both) {
      const [from, to] = direction === "up" ? [client, server] : [server, client]
      from.setNoDelay(true)
      from.on("data", (bytes: Uint8Array) => {
        if (this.#faults[direction] === "lose") pair.lost = true
        else pair.held[direction].push(bytes)
        this.#apply(pair, direction)
      })
      to.on("drain", () => this.#apply(pair, direction))
      from.on("end", () => to.end())
      from.on("error", () => this.#cut(pair))
      from.on("close", () => {
        if (to.destroyed) this.#pairs.delete(pair)
      })
    }
  }

  #apply(pair: Pair, direction: Direction): void {
    const [from, to] = direction === "up" ? [pair.up, pair.down] : [pair.down, pair.up]
    const held = pair.held[direction]
    const stalled = this.#faults[direction] === "stall"
    if (!stalled) { for (const bytes of held.splice(0)) to.write(bytes) }
    if (stalled ? bytesOf(held) > heldBytesMax : to.writableNeedDrain) from.pause()
    else from.resume()
  }

  #cut(pair: Pair): void {
    for (const direction of both) reset(pair[direction])
    this.#pairs.delete(pair)
  }
}

const bytesOf = (held: ReadonlyArray<Uint8Array>): number =>
  held.reduce((sum, { length }) => sum + length, 0)

/** Node never ends after the reset of a socket that is finishing or still connects. */
const reset = (socket: Socket): void => {
  if (socket.connecting || socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}
