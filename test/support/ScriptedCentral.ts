/**
 * A central for tests of the agency's client: real sockets, bets in memory, one port for both kinds of message, and a
 * script that decides when it misbehaves. None of the product's code. Its faults:
 *
 *     cut        resets the connection without storing
 *     swallow    stores, then resets: the answer is lost
 *     ignore     neither stores nor answers
 *     hold       waits with storing and answering until `release`
 *     an object  is answered instead of storing
 */
import { createHash } from "node:crypto"
import { once } from "node:events"
import { type AddressInfo, createServer, type Server, type Socket } from "node:net"
import { csvLine } from "./Sales.ts"
import { frame } from "./Wire.ts"

export interface Received {
  readonly type_message: number
  readonly agency: number
  readonly seq?: number
  readonly payload?: ReadonlyArray<string | ReadonlyArray<string>>
  readonly wait?: boolean
  /** Which connection it came on, from 1. */
  readonly connection: number
}

export type Reaction =
  | "serve"
  | "cut"
  | "swallow"
  | "ignore"
  | "hold"
  | Readonly<Record<string, unknown>>

export class ScriptedCentral implements AsyncDisposable {
  /** Every whole message, in order. */
  readonly received: Array<Received> = []
  /** The stored bets as payload text, arrays joined by commas. */
  readonly bets: Array<string> = []
  seq = 0
  finished = false
  /** The draw's name; undefined as a central from before draws had names. */
  draw: string | undefined
  /** Documents, once drawn. */
  winners: ReadonlyArray<string> | undefined
  react: (message: Received) => Reaction = () => "serve"
  /** How often a connection was closed because a newer one took over. */
  takeovers = 0
  #speaker: Socket | undefined
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #connections = 0
  #held: Array<() => void> = []

  private constructor() {
    this.#server = createServer((socket) => this.#accept(socket))
  }

  static async start(): Promise<ScriptedCentral> {
    const central = new ScriptedCentral()
    central.#server.listen(0, "127.0.0.1")
    await once(central.#server, "listening")
    return central
  }

  get address(): { readonly host: string; readonly port: number } {
    const { port } = this.#server.address() as AddressInfo
    return { host: "127.0.0.1", port }
  }

  get connections(): number {
    return this.#connections
  }

  chunks(): ReadonlyArray<Received> {
    return this.received.filter(({ type_message }) => type_message === 1 || type_message === 2)
  }

  release(): void {
    const held = this.#held
    this.#held = []
    for (const serve of held) serve()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, "close")
  }

  #accept(socket: Socket): void {
    const connection = ++this.#connections
    let input = Buffer.alloc(0)
    this.#sockets.add(socket)
    socket.on("close", () => this.#sockets.delete(socket))
    socket.on("error", () => {})
    socket.on("data", (bytes: Buffer) => {
      input = Buffer.concat([input, bytes])
      while (input.length >= 4 && input.length >= 4 + input.readUInt32BE(0)) {
        const end = 4 + input.readUInt32BE(0)
        const message: Received = { ...JSON.parse(input.toString("utf8", 4, end)), connection }
        input = input.subarray(end)
        // What a reset connection still had to say is never heard.
        if (socket.destroyed) return
        this.received.push(message)
        this.#take(socket, message)
      }
    })
  }

  #take(socket: Socket, message: Received): void {
    const reaction = this.react(message)
    switch (reaction) {
      case "serve":
        this.#serve(socket, message)
        return
      case "cut":
        socket.resetAndDestroy()
        return
      case "swallow":
        this.#store(message)
        socket.resetAndDestroy()
        return
      case "ignore":
        return
      case "hold":
        this.#held.push(() => this.#serve(socket, message))
        return
      default:
        socket.write(frame(reaction))
    }
  }

  #serve(socket: Socket, message: Received): void {
    const { seq, type_message } = message
    if (type_message === 3) {
      socket.end(
        frame(
          this.winners === undefined
            ? { type_message: 5, payload: null, retry_after_ms: 5 }
            : { type_message: 2, payload: this.winners.join(",") }
        )
      )
      return
    }
    if (type_message === 4) {
      this.#takeOver(socket)
      const lines = this.bets.map((bet) => csvLine(message.agency, bet))
      const digest = createHash("sha256").update(lines.join("")).digest("hex")
      const { bets, draw, finished } = this
      socket.write(
        frame({ type_message: 4, seq: this.seq, bets: bets.length, digest, finished, draw })
      )
      return
    }
    if (seq !== this.seq + 1) {
      const code = "SEQUENCE_GAP"
      socket.write(
        frame({
          type_message: 3,
          payload: null,
          seq,
          code,
          message: "",
          expected_seq: this.seq + 1
        })
      )
      return
    }
    this.#store(message)
    const { draw } = this
    socket.write(
      frame({ type_message: 1, payload: null, seq, ...(type_message === 2 && { draw }) })
    )
    if (type_message === 2) socket.end()
  }

  #takeOver(socket: Socket): void {
    const older = this.#speaker
    this.#speaker = socket
    if (older === undefined || older === socket || older.destroyed) return
    this.takeovers++
    older.end()
    older.removeAllListeners("data").resume()
  }

  #store({ payload, seq, type_message }: Received): void {
    if (seq !== this.seq + 1) return
    this.seq = seq
    this.finished = type_message === 2
    for (const item of payload ?? []) {
      this.bets.push(typeof item === "string" ? item : item.join(","))
    }
  }
}
