/**
 * The open group: chunks that were decided on and are not on their way to disk yet, in the order of the decisions. They
 * are taken from it a bounded group at a time; chunks that stay after a failure are put back at the front.
 *
 * It also counts the frames that are being parsed. While one group is on its way to disk, the clients of the group before
 * send their next chunks, which arrive one by one. If the open group left with the first of them, all others would wait
 * for one more sync. So it is due once it holds as many chunks as frames are being parsed: at least half of what it can
 * get.
 */
import { invariant } from "../../domain/Invariant.ts"
import type { Group, PendingChunk } from "./ChunksInHand.ts"

export interface GroupBounds {
  readonly groupChunksMax: number
  /** Of the chunks' bodies. A single chunk may be larger. */
  readonly groupBytesMax: number
  /** How long chunks wait for frames that are being parsed; 0: they don't. */
  readonly gatherMs: number
}

export class OpenGroup {
  readonly #bounds: GroupBounds
  readonly #chunks: Array<PendingChunk> = []
  #framesInParsers = 0

  constructor(bounds: GroupBounds) {
    this.#bounds = bounds
  }

  get isEmpty(): boolean {
    return this.#chunks.length === 0
  }

  /** There is something to store, and no reason to wait for more. */
  get isDue(): boolean {
    return !this.isEmpty
      && (this.#chunks.length >= this.#framesInParsers || this.#bounds.gatherMs === 0)
  }

  push(pending: PendingChunk): void {
    this.#chunks.push(pending)
  }

  expectFrames(count: number): void {
    this.#framesInParsers += count
  }

  frameParsed(): void {
    this.#framesInParsers--
    invariant(this.#framesInParsers >= 0, "no more frames are parsed than were expected")
  }

  /** As many of the first chunks as fit into a group, and at least one if there is one. */
  take(): Group {
    const { groupBytesMax, groupChunksMax } = this.#bounds
    let count = 0
    let bytes = 0
    for (const { chunk } of this.#chunks) {
      bytes += chunk.body.length
      if (count === groupChunksMax || (count > 0 && bytes > groupBytesMax)) break
      count++
    }
    return this.#chunks.splice(0, count)
  }

  /** What stays of a group that failed is the first to be taken again. */
  putBack(staying: Group): void {
    this.#chunks.unshift(...staying)
  }
}
