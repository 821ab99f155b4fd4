/**
 * The memory that all frames may take together. A frame's length is reserved before its body is read. If there is no
 * room, the frame waits in line. The order is first come, first served: small frames don't overtake a large one.
 */
import { invariant } from "../../domain/Invariant.ts"

type OnRoom = (bytes: number) => void

export class FrameBudget {
  readonly #capacity: number
  #room: number
  #serving = false
  /** The line, by owner; bounded by the number of connections. */
  readonly #waiting = new Map<object, { readonly bytes: number; readonly onRoom: OnRoom }>()

  constructor(bytes: number) {
    this.#capacity = bytes
    this.#room = bytes
  }

  get room(): number {
    return this.#room
  }

  /** Whether there was room. If not, `onRoom` is called once the bytes are reserved. */
  reserve(owner: object, bytes: number, onRoom: OnRoom): boolean {
    invariant(!this.#waiting.has(owner), "an owner waits for the room of one frame")
    if (this.#waiting.size === 0 && bytes <= this.#room) {
      this.#room -= bytes
      return true
    }
    this.#waiting.set(owner, { bytes, onRoom })
    return false
  }

  /** The owner leaves the line, if it is in it. */
  cancel(owner: object): void {
    if (this.#waiting.delete(owner)) this.#serve()
  }

  release(bytes: number): void {
    this.#room += bytes
    invariant(this.#room <= this.#capacity, "no more room is given back than was reserved")
    this.#serve()
  }

  /**
   * Serves the line. An owner that is served may give room back at once, or leave the line: the loop that is under way
   * goes on with that. Served from within, the line would be served in reverse, and a long one would overflow the stack.
   */
  #serve(): void {
    if (this.#serving) return
    this.#serving = true
    try {
      for (const [owner, { bytes, onRoom }] of this.#waiting) {
        if (bytes > this.#room) return
        this.#waiting.delete(owner)
        this.#room -= bytes
        onRoom(bytes)
      }
    } finally {
      this.#serving = false
    }
  }
}
