/** A bare connection that looks at every byte of an answer: framing, ASCII, one JSON object. None of the product's code. */
import { ok } from "node:assert/strict"
import { once } from "node:events"
import { connect, type Socket } from "node:net"
import { setImmediate } from "node:timers/promises"
import { within } from "../support/WaitUntil.ts"
import type { WireAnswer } from "../support/Wire.ts"

const deadlineMs = 30_000
/** No answer is longer: nobody wins here. */
const answerBytesMax = 1024

export class FuzzConnection implements Disposable {
  readonly answers: Array<WireAnswer> = []
  readonly #socket: Socket
  #received = Buffer.alloc(0)
  #ended: "open" | "finished" | "reset" = "open"
  #problem: Error | undefined
  #wake = () => {}

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on("data", (bytes: Buffer) => {
      try {
        this.#take(bytes)
      } catch (error) {
        this.#problem = error instanceof Error ? error : new Error(String(error))
      }
      this.#wake()
    })
    socket.on("end", () => this.#end("finished"))
    socket.on("error", () => this.#end("reset"))
    socket.on("close", () => this.#end("reset"))
  }

  static async connect(port: number): Promise<FuzzConnection> {
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true })
    await within(`a connection to port ${port}`, once(socket, "connect"))
    return new FuzzConnection(socket)
  }

  get open(): boolean {
    return this.#ended === "open"
  }

  get wasReset(): boolean {
    return this.#ended === "reset"
  }

  /** In one piece, or cut at these places. */
  async send(bytes: Uint8Array, cuts: ReadonlyArray<number> = []): Promise<void> {
    let from = 0
    for (const to of [...cuts, bytes.length]) {
      if (to > from && this.#socket.writable) this.#socket.write(bytes.subarray(from, to))
      from = to
      if (to < bytes.length) await setImmediate()
    }
  }

  /** Waits until so many answers have come in all, or the stream has ended. */
  async answered(count: number): Promise<void> {
    await this.#until(`${count} answers`, () => this.answers.length >= count || !this.open)
  }

  async ended(): Promise<void> {
    await this.#until("the connection's end", () => !this.open)
  }

  finish(): void {
    this.#socket.end()
  }

  vanish(): void {
    this.#socket.resetAndDestroy()
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }

  async #until(what: string, holds: () => boolean): Promise<void> {
    while (!holds() && this.#problem === undefined) {
      const woken = new Promise<void>((resolve) => (this.#wake = resolve))
      await within(`${what}; answered: ${JSON.stringify(this.answers)}`, woken, deadlineMs)
    }
    if (this.#problem !== undefined) throw this.#problem
  }

  #end(how: "finished" | "reset"): void {
    if (this.#ended === "open") this.#ended = how
    this.#wake()
  }

  #take(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes])
    while (this.#received.length >= 4) {
      const length = this.#received.readUInt32BE(0)
      ok(length > 0 && length <= answerBytesMax, `an answer of ${length} bytes`)
      if (this.#received.length < 4 + length) return
      const body = this.#received.subarray(4, 4 + length)
      ok(body.every((byte) => byte >= 0x20 && byte < 0x7f), "an answer is not printable ASCII")
      this.answers.push(JSON.parse(body.toString("latin1")))
      this.#received = this.#received.subarray(4 + length)
    }
  }
}
