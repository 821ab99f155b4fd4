/**
 * The memory that frames may take together. A frame's length is reserved before its body is read; who finds no room
 * waits in line. First come, first served: a large frame isn't starved by small ones that would fit before it.
 */
type OnRoom = (bytes: number) => void

export class FrameBudget {
  #room: number
  /** Waiters by owner, in order; bounded by the number of connections. */
  readonly #waiting = new Map<object, { readonly bytes: number; readonly onRoom: OnRoom }>()

  constructor(bytes: number) {
    this.#room = bytes
  }

  get room(): number {
    return this.#room
  }

  /** Whether there was room; if not, `onRoom` is called when there is and the bytes are reserved. */
  reserve(owner: object, bytes: number, onRoom: OnRoom): boolean {
    if (this.#waiting.size === 0 && bytes <= this.#room) {
      this.#room -= bytes
      return true
    }
    this.#waiting.set(owner, { bytes, onRoom })
    return false
  }

  cancel(owner: object): void {
    this.#waiting.delete(owner)
    this.#serve()
  }

  release(bytes: number): void {
    this.#room += bytes
    this.#serve()
  }

  #serve(): void {
    for (const [owner, { bytes, onRoom }] of this.#waiting) {
      if (bytes > this.#room) return
      this.#waiting.delete(owner)
      this.#room -= bytes
      onRoom(bytes)
    }
  }
}
