/**
 * Framing, both directions, both ports:
 *
 *     0        4                4+N
 *     ├────────┼─────────────────┤
 *     │ N (BE) │ N bytes of JSON │      N unsigned, 1 to the configured limit
 *     └────────┴─────────────────┘
 *
 * The decoder is incremental and pure: bytes go in as they come, frames come out, and any split of the stream gives
 * the same frames. It announces a frame's length before it allocates memory for the body, so that its owner can refuse
 * the length or reserve room first. No Effect here: the parser child imports this file.
 */
import { frameHeaderBytes } from "./Limits.ts"

export type FrameStep =
  /** More bytes are needed. */
  | { readonly _tag: "Starved" }
  /** A header was read; nothing more is decoded until {@link FrameDecoder.accept}. */
  | { readonly _tag: "Announced"; readonly bytes: number }
  | { readonly _tag: "Frame"; readonly body: Uint8Array }

const starved: FrameStep = { _tag: "Starved" }

export class FrameDecoder {
  /** Bytes that were pushed, of which the first `read` are decoded. */
  #input: Uint8Array | undefined
  #read = 0
  /** Collects a header that came in pieces. */
  #header = 0
  #headerBytes = 0
  #announced: number | undefined
  /** The announced body and how much of it is filled; undefined until it is accepted. */
  #body: Uint8Array | undefined
  #filled = 0
  /** How many bytes of a skipped body are still to come. */
  #toSkip = 0

  /** Whether a frame has begun, with the first byte of its header, and isn't whole. */
  get midFrame(): boolean {
    return this.#headerBytes > 0 || this.#announced !== undefined || this.#toSkip > 0
  }

  /** Whether bytes were pushed that aren't decoded. */
  get hasInput(): boolean {
    return this.#input !== undefined
  }

  /** Adds bytes to the input. They aren't copied: the caller must not change them afterwards. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    if (this.#input === undefined) {
      this.#input = bytes
      this.#read = 0
      return
    }
    const left = this.#input.length - this.#read
    const joined = new Uint8Array(left + bytes.length)
    joined.set(this.#input.subarray(this.#read), 0)
    joined.set(bytes, left)
    this.#input = joined
    this.#read = 0
  }

  /** Allocates memory for the announced body, which {@link next} then decodes. */
  accept(): void {
    const bytes = this.#announced
    if (bytes === undefined || this.#body !== undefined) return
    const input = this.#input
    if (input !== undefined && input.length - this.#read >= bytes) {
      this.#body = input.subarray(this.#read, this.#read + bytes)
      this.#filled = bytes
      this.#consume(bytes)
    } else {
      this.#body = new Uint8Array(bytes)
      this.#filled = 0
    }
  }

  /** Drops the announced body as it comes; {@link next} then decodes the frame after it. */
  skip(): void {
    if (this.#announced === undefined || this.#body !== undefined) return
    this.#toSkip = this.#announced
    this.#announced = undefined
  }

  /** The next step; call until it is `Starved`. */
  next(): FrameStep {
    if (this.#toSkip > 0 && !this.#dropSkipped()) return starved
    if (this.#announced === undefined && !this.#readHeader()) return starved
    const bytes = this.#announced ?? 0
    if (this.#body === undefined) return { _tag: "Announced", bytes }
    this.#fill(this.#body)
    if (this.#filled < bytes) return starved
    const body = this.#body
    this.#announced = undefined
    this.#body = undefined
    return { _tag: "Frame", body }
  }

  /** Drops what is there of a skipped body. Returns whether that was the rest of it. */
  #dropSkipped(): boolean {
    if (this.#input === undefined) return false
    const dropped = Math.min(this.#toSkip, this.#input.length - this.#read)
    this.#toSkip -= dropped
    this.#consume(dropped)
    return this.#toSkip === 0
  }

  #readHeader(): boolean {
    while (this.#headerBytes < frameHeaderBytes) {
      const byte = this.#input?.[this.#read]
      if (byte === undefined) return false
      this.#header = this.#header * 256 + byte
      this.#headerBytes++
      this.#consume(1)
    }
    this.#announced = this.#header
    this.#header = 0
    this.#headerBytes = 0
    return true
  }

  #fill(body: Uint8Array): void {
    if (this.#input === undefined || this.#filled === body.length) return
    const taken = Math.min(body.length - this.#filled, this.#input.length - this.#read)
    body.set(this.#input.subarray(this.#read, this.#read + taken), this.#filled)
    this.#filled += taken
    this.#consume(taken)
  }

  #consume(bytes: number): void {
    this.#read += bytes
    if (this.#input !== undefined && this.#read === this.#input.length) this.#input = undefined
  }
}

/** A header followed by the body, in one piece: old clients need both in one write. */
export const encodeFrame = (body: Uint8Array): Uint8Array => {
  const frame = new Uint8Array(frameHeaderBytes + body.length)
  new DataView(frame.buffer).setUint32(0, body.length)
  frame.set(body, frameHeaderBytes)
  return frame
}
