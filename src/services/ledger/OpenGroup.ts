/**
 * The open group: the chunks that were decided and are not on their way to disk yet, in the order of the decisions.
 * From here they are taken, a bounded group at a time; those that a failed group leaves come back to the front.
 *
 * It also counts the frames that are being parsed. While the disk is busy with one group, the clients of the group
 * before send their next chunks, which come in one after another. A group that left with the first of them would make
 * all others wait for one more sync. So the open group is due once it holds as many chunks as frames are being parsed:
 * at least half of what it can get.
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
