/** A bare connection to either port, for input that no well-behaved agency sends. None of the product's code. */
import { once } from "node:events"
import { connect, type Socket } from "node:net"
import { patienceMs, waitUntil, within } from "./WaitUntil.ts"

export interface WireAnswer {
  readonly type_message: number
  readonly [key: string]: unknown
}

/** Header and body. */
export const frame = (message: unknown): Uint8Array => {
  const body = new TextEncoder().encode(
    typeof message === "string" ? message : JSON.stringify(message)
  )
  const bytes = new Uint8Array(4 + body.length)
  new DataView(bytes.buffer).setUint32(0, body.length)
  bytes.set(body, 4)
  return bytes
}

export class Wire implements Disposable {
  readonly socket: Socket
  #received = Buffer.alloc(0)
  #ended: "open" | "finished" | "reset" = "open"

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on("data", (bytes: Buffer) => (this.#received = Buffer.concat([this.#received, bytes])))
    socket.on("end", () => (this.#ended = "finished"))
    socket.on("error", () => (this.#ended = "reset"))
  }

  static async connect(port: number): Promise<Wire> {
    // It closes its own side only when told: half-closed connections are part of the protocol.
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true })
    await within(`a connection to port ${port}`, once(socket, "connect"))
    return new Wire(socket)
  }

  /** Sends a message in a frame; a string is sent as the frame's body as it is. */
  send(message: unknown): void {
    this.socket.write(frame(message))
  }

  sendBytes(bytes: Uint8Array | ReadonlyArray<number>): void {
    this.socket.write(Uint8Array.from(bytes))
  }

  /** The next answer; fails when the connection ends first. */
  answer(deadlineMs = patienceMs): Promise<WireAnswer> {
    return waitUntil("an answer", () => {
      const answer = this.#takeAnswer()
      if (answer === undefined && this.#ended !== "open") {
        throw new Error(`the connection ended without an answer (${this.#ended})`)
      }
      return answer
    }, deadlineMs)
  }

  /** Sends and takes the next answer. */
  ask(message: unknown): Promise<WireAnswer> {
    this.send(message)
    return this.answer()
  }

  /** Waits for the end of the stream, and gives the answers that came before it. */
  async closed(deadlineMs = patienceMs): Promise<ReadonlyArray<WireAnswer>> {
    const answers = await this.gone(deadlineMs)
    if (this.#ended === "reset") throw new Error("the connection was reset, not closed")
    return answers
  }

  /** As {@link closed}, for a connection that may also break. */
  async gone(deadlineMs = patienceMs): Promise<ReadonlyArray<WireAnswer>> {
    await waitUntil("the connection's end", () => this.#ended !== "open", deadlineMs)
    const answers: Array<WireAnswer> = []
    for (let next = this.#takeAnswer(); next !== undefined; next = this.#takeAnswer()) {
      answers.push(next)
    }
    return answers
  }

  get open(): boolean {
    return this.#ended === "open"
  }

  /** FIN: nothing more will be sent; answers can still come. */
  finish(): void {
    this.socket.end()
  }

  vanish(): void {
    this.socket.resetAndDestroy()
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }

  #takeAnswer(): WireAnswer | undefined {
    if (this.#received.length < 4) return undefined
    const end = 4 + this.#received.readUInt32BE(0)
    if (this.#received.length < end) return undefined
    const answer: WireAnswer = JSON.parse(this.#received.toString("utf8", 4, end))
    this.#received = this.#received.subarray(end)
    return answer
  }
}
