/**
 * Framing, both directions, both ports:
 *
 *     0        4                4+N
 *     ├────────┼─────────────────┤
 *     │ N (BE) │ N bytes of JSON │      N unsigned, 1 to the configured limit
 *     └────────┴─────────────────┘
 *
 * The decoder is incremental and pure: bytes go in as they come, frames come out, and any split of the stream gives
 * the same frames. It announces a frame's length before it takes memory for the body, so that the owner can refuse
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
  /** Bytes pushed and not yet decoded; `read` is how far decoding got. */
  #input: Uint8Array | undefined
  #read = 0
  /** Collects a header that came in pieces. */
  #header = 0
  #headerBytes = 0
  #announced: number | undefined
  /** The body under way and how much of it is there; undefined until accepted. */
  #body: Uint8Array | undefined
  #filled = 0
  /** What is still to come of a body that nobody wants. */
  #unwanted = 0

  /** Whether a frame has begun and isn't whole: from its first header byte on. */
  get midFrame(): boolean {
    return this.#headerBytes > 0 || this.#announced !== undefined || this.#unwanted > 0
  }

  /** Whether bytes are there that were pushed and not decoded. */
  get hasInput(): boolean {
    return this.#input !== undefined
  }

  /** Gives the decoder bytes. Takes them without a copy: the caller must not change them afterwards. */
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

  /** Takes room for the announced body, so that {@link next} goes on with it. */
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

  /** Drops the announced body as it comes; {@link next} goes on with the frame behind it. */
  skip(): void {
    if (this.#announced === undefined || this.#body !== undefined) return
    this.#unwanted = this.#announced
    this.#announced = undefined
  }

  /** The next step; call until it is `Starved`. */
  next(): FrameStep {
    if (this.#unwanted > 0 && !this.#drop()) return starved
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

  /** Whether the whole unwanted body has come by. */
  #drop(): boolean {
    if (this.#input === undefined) return false
    const dropped = Math.min(this.#unwanted, this.#input.length - this.#read)
    this.#unwanted -= dropped
    this.#consume(dropped)
    return this.#unwanted === 0
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
