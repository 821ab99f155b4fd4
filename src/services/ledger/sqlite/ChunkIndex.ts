/**
 * The row ids of each agency's chunks, in the order of `seq`, which starts at 1 and has no gaps. The index takes four
 * bytes for each chunk and grows by the rows that were added since the last refresh.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { damaged, defect } from "./LedgerProblem.ts"

/** A list of row ids that grows by doubling. */
interface Ids {
  ids: Uint32Array
  length: number
}

const idMax = 0xffff_ffff

export class ChunkIndex {
  readonly #newer: StatementSync
  readonly #agencies = new Map<number, Ids>()
  #lastChunk = 0

  constructor(db: DatabaseSync) {
    this.#newer = db.prepare("SELECT id, agency FROM chunk WHERE id > ? ORDER BY id", {
      returnArrays: true
    })
  }

  /** Adds the chunks that were committed since the last refresh. */
  refresh(): void {
    for (const row of this.#newer.iterate(this.#lastChunk)) {
      const [id, agency] = Object.values(row)
      if (typeof id !== "number" || typeof agency !== "number" || id > idMax) {
        throw damaged("a chunk's row can't be indexed")
      }
      this.#push(agency, id)
      this.#lastChunk = id
    }
  }

  /** The `seq` of the agency's last chunk. */
  lastSeq(agency: number): number {
    return this.#agencies.get(agency)?.length ?? 0
  }

  /** The row id of an existing chunk: `seq` is between 1 and `lastSeq`. */
  rowOf(agency: number, seq: number): number {
    const id = this.#agencies.get(agency)?.ids[seq - 1]
    if (id === undefined || seq > this.lastSeq(agency)) {
      throw defect(`agency ${agency} has no chunk ${seq}`)
    }
    return id
  }

  #push(agency: number, id: number): void {
    let list = this.#agencies.get(agency)
    if (list === undefined) {
      list = { ids: new Uint32Array(16), length: 0 }
      this.#agencies.set(agency, list)
    } else if (list.length === list.ids.length) {
      const longer = new Uint32Array(2 * list.length)
      longer.set(list.ids)
      list.ids = longer
    }
    list.ids[list.length++] = id
  }
}
