/**
 * An agency from the field: it speaks only the field's dialect of docs/PROTOCOL.md, over bare sockets, as the deployed
 * clients do. It opens the consult connection first and leaves it idle; sends a frame's length and body
 * in separate writes, the body in pieces; escapes non-ASCII; writes numbers as strings; reads an answer's header
 * with a single recv(4); takes any answer but type_message 1 as "not logged" and goes on.
 */
import { once } from "node:events"
import { connect, type Socket } from "node:net"
import { within } from "./WaitUntil.ts"

const pieceBytesMax = 8064

export interface FieldAnswer {
  readonly type_message: number
  readonly payload: unknown
  readonly [key: string]: unknown
}

/** As Python's json.dumps: a space after `:` and `,`, pure ASCII. */
const dumps = (type: number, agency: number, payload: ReadonlyArray<string> | null): string => {
  const list = payload === null
    ? "null"
    : `[${payload.map((item) => JSON.stringify(item)).join(", ")}]`
  return `{"type_message": "${type}", "agency": "${agency}", "payload": ${list}}`
    .replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
}

/** A socket read as the field reads it: on demand, so many bytes at most. */
class FieldSocket {
  readonly socket: Socket
  #gone: Error | undefined

  constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on("error", (error) => (this.#gone = error))
  }

  static async connect(port: number): Promise<FieldSocket> {
    const socket = connect({ host: "127.0.0.1", port })
    await within(`a connection to port ${port}`, once(socket, "connect"))
    return new FieldSocket(socket)
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.write(bytes, (error) => error ? reject(error) : resolve())
    })
  }

  /** recv(n): what is there, at most `bytes`; empty at the end of the stream. */
  async receive(bytes: number): Promise<Uint8Array> {
    for (;;) {
      const length = Math.min(bytes, this.socket.readableLength)
      const piece: unknown = length === 0 ? null : this.socket.read(length)
      if (piece instanceof Uint8Array) return piece
      if (this.#gone !== undefined) throw this.#gone
      if (this.socket.readableEnded || this.socket.destroyed) return new Uint8Array(0)
      this.socket.read(0)
      await within(
        "an answer",
        new Promise<void>((resolve) => {
          const settle = () => {
            for (const event of ["readable", "end", "close", "error"]) {
              this.socket.off(event, settle)
            }
            resolve()
          }
          for (const event of ["readable", "end", "close", "error"]) this.socket.on(event, settle)
        })
      )
    }
  }

  async receiveAnswer(): Promise<FieldAnswer | undefined> {
    const header = await this.receive(4)
    if (header.length === 0) return undefined
    if (header.length < 4) throw new Error("the header of an answer came in pieces")
    const length = new DataView(header.buffer, header.byteOffset).getUint32(0)
    let text = ""
    while (text.length < length) {
      const piece = await this.receive(length - text.length)
      if (piece.length === 0) throw new Error("the connection ended inside an answer")
      if (piece.some((byte) => byte > 0x7e)) throw new Error("an answer isn't pure ASCII")
      text += String.fromCharCode(...piece)
    }
    const answer: FieldAnswer = JSON.parse(text)
    if (!Number.isInteger(answer.type_message)) throw new Error("type_message is no integer")
    return answer
  }

  async send(message: string): Promise<void> {
    const body = new TextEncoder().encode(message)
    const header = new Uint8Array(4)
    new DataView(header.buffer).setUint32(0, body.length)
    await this.write(header)
    for (let at = 0; at < body.length; at += pieceBytesMax) {
      await this.write(body.subarray(at, at + pieceBytesMax))
    }
  }
}

export interface Address {
  readonly betsPort: number
  readonly consultPort: number
}

export class FieldAgency implements Disposable {
  readonly id: number
  readonly #consult: FieldSocket
  readonly #bets: FieldSocket

  private constructor(id: number, consult: FieldSocket, bets: FieldSocket) {
    this.id = id
    this.#consult = consult
    this.#bets = bets
  }

  static async open(central: Address, id: number): Promise<FieldAgency> {
    const consult = await FieldSocket.connect(central.consultPort)
    return new FieldAgency(id, consult, await FieldSocket.connect(central.betsPort))
  }

  /** Whether the chunk was logged; undefined when the connection ended instead of an answer. */
  async sendChunk(bets: ReadonlyArray<string>, last = false): Promise<FieldAnswer | undefined> {
    await this.#bets.send(dumps(last ? 2 : 1, this.id, bets))
    return this.#bets.receiveAnswer()
  }

  /** Sends bets in chunks, and how many of them were logged. `last` marks the last chunk. */
  async sendBets(bets: ReadonlyArray<string>, chunkSize: number, last: boolean): Promise<number> {
    let logged = 0
    for (let at = 0; at === 0 || at < bets.length; at += chunkSize) {
      const chunk = bets.slice(at, at + chunkSize)
      const answer = await this.sendChunk(chunk, last && at + chunkSize >= bets.length)
      if (answer === undefined) {
        throw new Error("the connection ended before the last chunk's answer")
      }
      if (answer.type_message === 1) logged += chunk.length
    }
    return logged
  }

  /** The central closes after the last chunk's answer. */
  async betsClosed(): Promise<void> {
    const rest = await this.#bets.receive(1)
    if (rest.length > 0) throw new Error("bytes after the last chunk's answer")
    this.#bets.socket.end()
  }

  /** Asks for the winners on the connection that was idle so far, and waits for them. */
  async consult(): Promise<ReadonlyArray<string>> {
    await this.#consult.send(dumps(3, this.id, null))
    const answer = await this.#consult.receiveAnswer()
    if (answer?.type_message !== 2 || typeof answer.payload !== "string") {
      throw new Error(`no winners but ${JSON.stringify(answer)}`)
    }
    if ((await this.#consult.receive(1)).length > 0) throw new Error("bytes after the winners")
    this.#consult.socket.end()
    return answer.payload === "" ? [] : answer.payload.split(",")
  }

  /** A day's work: everything there is to sell, then the winners. */
  async work(
    bets: ReadonlyArray<string>,
    chunkSize: number
  ): Promise<{ readonly logged: number; readonly winners: ReadonlyArray<string> }> {
    const logged = await this.sendBets(bets, chunkSize, true)
    await this.betsClosed()
    return { logged, winners: await this.consult() }
  }

  /** The process is gone: both connections with it, in the middle of whatever it was. */
  vanish(): void {
    this.#bets.socket.resetAndDestroy()
    this.#consult.socket.resetAndDestroy()
  }

  [Symbol.dispose](): void {
    this.#bets.socket.destroy()
    this.#consult.socket.destroy()
  }
}
