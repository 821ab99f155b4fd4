/**
 * The order of everything that happens in a simulation: events in virtual milliseconds, the trace of their results, and
 * the judge's findings. Events of the same millisecond happen in the order in which they were planned.
 */
import { createHash } from "node:crypto"

export interface Planned {
  readonly cancel: () => void
}

interface Event {
  readonly at: number
  readonly order: number
  run: (() => void) | undefined
}

/** Lines of the trace that are kept to be shown with a failure. */
const tailLines = 60

const isBefore = (a: Event, b: Event): boolean =>
  a.at < b.at || (a.at === b.at && a.order < b.order)

export class Timeline {
  now = 0
  /** How many events have happened. */
  steps = 0
  readonly failures: Array<string> = []
  readonly counts = new Map<string, number>()
  readonly #hash = createHash("sha256")
  readonly #tail: Array<string> = []
  readonly #onLine: ((line: string) => void) | undefined
  /** A binary heap, the next event first. */
  readonly #heap: Array<Event> = []
  #order = 0

  constructor(onLine?: (line: string) => void) {
    this.#onLine = onLine
  }

  after(milliseconds: number, run: () => void): Planned {
    const event: Event = { at: this.now + Math.max(0, milliseconds), order: this.#order++, run }
    this.#push(event)
    return {
      cancel: () => {
        event.run = undefined
      }
    }
  }

  /** When the next event is due. */
  get next(): number | undefined {
    while (this.#heap[0] !== undefined && this.#heap[0].run === undefined) this.#pop()
    return this.#heap[0]?.at
  }

  /** Lets the next event happen. The caller has brought `now` to its time. */
  step(): void {
    this.steps++
    this.#pop()?.run?.()
  }

  trace(line: string): void {
    const text = `${this.now} ${line}`
    this.#hash.update(text).update("\n")
    this.#onLine?.(text)
    this.#tail.push(text)
    if (this.#tail.length > 2 * tailLines) this.#tail.splice(0, tailLines)
  }

  /** What was promised and not kept. */
  fail(problem: string): void {
    this.trace(`FAILED ${problem}`)
    this.failures.push(`after ${this.now} ms: ${problem}`)
  }

  /** Counts that something rare did happen. */
  count(what: string, times = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + times)
  }

  get tail(): ReadonlyArray<string> {
    return this.#tail.slice(-tailLines)
  }

  /** SHA-256 (hex) of the trace. */
  get hash(): string {
    return this.#hash.copy().digest("hex")
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent]
      if (above === undefined || !isBefore(event, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = event
  }

  #pop(): Event | undefined {
    const heap = this.#heap
    const [first] = heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      const left = heap[2 * at + 1]
      const right = heap[2 * at + 2]
      if (left === undefined) break
      const rightFirst = right !== undefined && isBefore(right, left)
      const child = rightFirst ? right : left
      if (!isBefore(child, last)) break
      heap[at] = child
      at = 2 * at + (rightFirst ? 2 : 1)
    }
    heap[at] = last
    return first
  }
}
