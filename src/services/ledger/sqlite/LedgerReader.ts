/**
 * Reads what is stored, on a connection and in a thread of its own, so that no commit waits for it. Every answer
 * reflects what was committed when the request came, or later.
 */
import { createHash, type Hash } from "node:crypto"
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { setImmediate } from "node:timers/promises"
import { csvOfBody } from "../../../domain/Csv.ts"
import { invariant } from "../../../domain/Invariant.ts"
import type { BetCursor } from "../../../domain/ReplayRule.ts"
import { ChunkIndex } from "./ChunkIndex.ts"
import { chunkColumns, type ChunkRow, intactChunk } from "./ChunkTable.ts"
import { defect, misplaced } from "./LedgerProblem.ts"
import { openReadOnly } from "./OpenLedger.ts"

export interface ReaderConfig {
  readonly path: string
  readonly busyTimeoutMs: number
}

export interface StoredChunk {
  readonly last: boolean
  readonly bets: number
  readonly numbers: Uint8Array<ArrayBuffer>
  readonly body: Uint8Array<ArrayBuffer>
}

export interface BetBytes {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly next: BetCursor
}

/** `digest` is SHA-256 (hex) over the agency's `bets` bets, as exported, in its `seq` chunks. */
export interface DigestRecord {
  readonly seq: number
  readonly bets: number
  readonly digest: string
}

/** After this much of a digest, other requests are answered. */
const digestSliceBytes = 4 * 1024 * 1024

/** An agency's digest so far, from which the next one continues. */
interface RunningDigest {
  readonly hash: Hash
  seq: number
  bets: number
}

export class LedgerReader {
  readonly #db: DatabaseSync
  readonly #index: ChunkIndex
  readonly #chunk: StatementSync
  readonly #digests = new Map<number, RunningDigest>()
  #digesting = false

  constructor(config: ReaderConfig) {
    this.#db = openReadOnly(config.path, config.busyTimeoutMs)
    this.#index = new ChunkIndex(this.#db)
    this.#chunk = this.#db.prepare(`SELECT ${chunkColumns} FROM chunk WHERE id = ?`)
  }

  chunkAt(agency: number, seq: number): StoredChunk | undefined {
    if (!Number.isSafeInteger(seq) || seq < 1 || seq > this.#lastSeq(agency, seq)) return undefined
    const { bets, body, last, numbers } = this.#read(agency, seq)
    return { last: last === 1, bets, numbers, body }
  }

  /**
   * The stored bytes from a place on. `next` is the first byte that was not read. At the end of a chunk it is the start
   * of the next one, so that it remains valid when more is stored.
   */
  readBets(agency: number, seq: number, offset: number, bytes: number): BetBytes {
    const lastSeq = this.#lastSeq(agency, Number.MAX_SAFE_INTEGER)
    if (seq < 1 || offset < 0 || seq > lastSeq + 1) {
      throw defect("a cursor outside of the stored bets")
    }
    const pieces: Array<Uint8Array> = []
    let wanted = bytes
    let next = { seq, offset }
    while (next.seq <= lastSeq) {
      const { body } = this.#read(agency, next.seq)
      if (next.offset > body.length) throw defect("a cursor outside of the stored bets")
      const piece = body.subarray(next.offset, next.offset + wanted)
      pieces.push(piece)
      wanted -= piece.length
      const end = next.offset + piece.length
      next = end === body.length ? { seq: next.seq + 1, offset: 0 } : { seq: next.seq, offset: end }
      if (wanted === 0) break
    }
    const joined = new Uint8Array(bytes - wanted)
    let at = 0
    for (const piece of pieces) {
      joined.set(piece, at)
      at += piece.length
    }
    return { bytes: joined, next }
  }

  /** One digest at a time: two for the same agency would both feed its hash. */
  async digest(agency: number): Promise<DigestRecord> {
    invariant(!this.#digesting, "digests are computed one after another")
    this.#digesting = true
    try {
      return await this.#digest(agency)
    } finally {
      this.#digesting = false
    }
  }

  async #digest(agency: number): Promise<DigestRecord> {
    const lastSeq = this.#lastSeq(agency, Number.MAX_SAFE_INTEGER)
    let running = this.#digests.get(agency)
    if (running === undefined) {
      running = { hash: createHash("sha256"), seq: 0, bets: 0 }
      if (lastSeq > 0) this.#digests.set(agency, running)
    }
    let sliceBytes = 0
    while (running.seq < lastSeq) {
      const { bets, body } = this.#read(agency, running.seq + 1)
      running.hash.update(csvOfBody(agency, body))
      running.seq++
      running.bets += bets
      sliceBytes += body.length
      if (sliceBytes >= digestSliceBytes) {
        sliceBytes = 0
        // oxlint-disable-next-line no-await-in-loop -- it gives way to other requests between the slices
        await setImmediate()
      }
    }
    return { seq: running.seq, bets: running.bets, digest: running.hash.copy().digest("hex") }
  }

  close(): void {
    this.#db.close()
  }

  /** An existing chunk. */
  #read(agency: number, seq: number): ChunkRow {
    const chunk = intactChunk(this.#chunk.get(this.#index.rowOf(agency, seq)))
    if (chunk.agency === agency && chunk.seq === seq) return chunk
    throw misplaced(agency, seq)
  }

  /** The agency's last `seq`. The index is refreshed only if it ends before the chunk that is wanted. */
  #lastSeq(agency: number, wanted: number): number {
    if (this.#index.lastSeq(agency) < wanted) this.#index.refresh()
    return this.#index.lastSeq(agency)
  }
}
