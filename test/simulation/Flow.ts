/**
 * One direction of a simulated connection: bytes go in, and come out in order, later, in other pieces. It can be stalled
 * for a while, break after any byte, and waits for a reader that is not ready.
 */
import type { Random } from "./Random.ts"
import type { Timeline } from "./Timeline.ts"

export interface FlowSink {
  /** Whether there is a reader for what comes next. */
  readonly ready: () => boolean
  readonly onBytes: (bytes: Uint8Array) => void
  readonly onEnd: () => void
  /** The flow came to the byte after which it breaks. */
  readonly onBroken: () => void
}

export interface FlowFaults {
  /** Bytes that come through before the connection breaks. */
  readonly breaksAfter: number
  /** When, counted from the connection's begin, nothing comes through for how long. */
  readonly stallsAt: number
  readonly stallsFor: number
  readonly latencyMax: number
  /** Bytes that the network takes from a writer without a reader. */
  readonly room: number
}

interface Piece {
  readonly at: number
  /** Undefined is the end of the stream. */
  readonly bytes: Uint8Array | undefined
}

export class Flow {
  readonly #timeline: Timeline
  readonly #random: Random
  readonly #faults: FlowFaults
  readonly #sink: FlowSink
  readonly #begun: number
  readonly #pieces: Array<Piece> = []
  #inside = 0
  #passed = 0
  #last = 0
  #planned = false
  #closed = false
  #onTaken: Array<() => void> = []

  constructor(timeline: Timeline, random: Random, faults: FlowFaults, sink: FlowSink) {
    this.#timeline = timeline
    this.#random = random
    this.#faults = faults
    this.#sink = sink
    this.#begun = timeline.now
  }

  /** Bytes written that the network has not taken. */
  get unsent(): number {
    return Math.max(0, this.#inside - this.#faults.room)
  }

  get inside(): number {
    return this.#inside
  }

  write(bytes: Uint8Array): void {
    if (this.#closed) return
    let from = 0
    while (from < bytes.length) {
      const left = bytes.length - from
      const to = from + (this.#random.chance(0.5) ? left : this.#random.skewed(1, left))
      this.#put(bytes.subarray(from, to))
      from = to
    }
    this.#inside += bytes.length
    this.#plan()
  }

  end(): void {
    if (this.#closed) return
    this.#put(undefined)
    this.#plan()
  }

  /** Calls back, later, when nothing is unsent; also when the flow ends before that. */
  whenTaken(callback: () => void): void {
    this.#onTaken.push(callback)
    if (this.unsent === 0 || this.#closed) this.#tellTaken()
  }

  /** The reader is ready again. */
  kick(): void {
    this.#plan()
  }

  /** Nothing comes out any more. */
  close(): void {
    this.#closed = true
    this.#pieces.length = 0
    this.#inside = 0
    this.#tellTaken()
  }

  #put(bytes: Uint8Array | undefined): void {
    const { latencyMax, stallsAt, stallsFor } = this.#faults
    let at = Math.max(this.#timeline.now + this.#random.skewed(0, latencyMax), this.#last)
    const age = at - this.#begun
    if (age >= stallsAt && age < stallsAt + stallsFor) at = this.#begun + stallsAt + stallsFor
    this.#last = at
    this.#pieces.push({ at, bytes })
  }

  #plan(): void {
    const first = this.#pieces[0]
    if (this.#planned || first === undefined || !this.#sink.ready()) return
    this.#planned = true
    this.#timeline.after(first.at - this.#timeline.now, () => {
      this.#planned = false
      this.#pass()
      this.#plan()
    })
  }

  #pass(): void {
    const piece = this.#pieces.shift()
    if (piece === undefined) return
    const { bytes } = piece
    if (bytes === undefined) return this.#sink.onEnd()
    this.#inside -= bytes.length
    if (this.unsent === 0) this.#tellTaken()
    const left = this.#faults.breaksAfter - this.#passed
    this.#passed += bytes.length
    if (left > 0) this.#sink.onBytes(left < bytes.length ? bytes.subarray(0, left) : bytes)
    if (left <= bytes.length) this.#sink.onBroken()
  }

  #tellTaken(): void {
    for (const callback of this.#onTaken.splice(0)) this.#timeline.after(0, callback)
  }
}
