/** A connection without a socket: it remembers what was written, and hands each FIN to the network at once. */
import type { Transport } from "../../src/services/intake/Connection.ts"

export class RememberingTransport implements Transport {
  readonly address = "127.0.0.1"
  readonly port = 50000
  readonly unsent: number = 0
  /** Bodies of the frames. */
  readonly written: Array<string> = []
  finished = false
  /** Called when the socket would be gone. */
  onGone = () => {}

  /** The bodies, decoded. */
  get answers(): ReadonlyArray<Readonly<Record<string, unknown>>> {
    return this.written.map((body) => JSON.parse(body))
  }

  write(bytes: Uint8Array): void {
    this.written.push(new TextDecoder().decode(bytes.subarray(4)))
  }
  pause(): void {}
  resume(): void {}
  whenSent(): void {}
  finish(callback: () => void): void {
    this.finished = true
    callback()
  }
  destroy(): void {
    this.onGone()
  }
}
