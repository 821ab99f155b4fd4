/** What decisions need of an agency's stored chunks: one of them, their bytes from a place on, and their digest. */
import { Effect, Option, Semaphore } from "effect"
import { createHash, type Hash } from "node:crypto"
import type { AgencyId } from "../../../domain/Agency.ts"
import { csvOfBody } from "../../../domain/Csv.ts"
import { invariant } from "../../../domain/Invariant.ts"
import type { BetCursor } from "../../../domain/ReplayRule.ts"
import type { BetLedger, LedgerUnavailable } from "../BetLedger.ts"
import { type ChunkRow, ChunkRows, chunkStatement, intactChunk } from "./ChunkRows.ts"
import type { LinkPool } from "./Links.ts"
import { damaged, unavailable } from "./SqlFailures.ts"

/** After this much of a digest the connection is given back. */
const sliceBytes = 4 * 1024 * 1024

/** An agency's digest so far, from which the next one continues. */
interface RunningDigest {
  readonly permit: Semaphore.Semaphore
  hash: Hash
  seq: number
  bets: number
  /** Of chunk `seq`, and its length: after the loss of a failover there may be another one in its place. */
  checksum: number
  length: number
}

export const readsOf = (links: LinkPool, lottery: number) => {
  const rows = new ChunkRows(links, lottery)
  const digests = new Map<AgencyId, RunningDigest>()

  const chunkAt = Effect.fnUntraced(function*(agency: AgencyId, seq: number) {
    if (!Number.isSafeInteger(seq) || seq < 1) return Option.none()
    const { rows: [row] } = yield* links.use(
      "chunkAt",
      (connection) =>
        connection.query(chunkStatement, [BigInt(lottery), BigInt(agency), BigInt(seq)])
    )
    if (row === undefined) return Option.none()
    const { bets, body, last, numbers } = yield* intactChunk("chunkAt", row)
    return Option.some({ agency, seq, last, bets, numbers, body })
  })

  const digest = (agency: AgencyId) =>
    Effect.suspend(() => {
      const running = digests.get(agency) ?? emptyDigest(Semaphore.makeUnsafe(1))
      digests.set(agency, running)
      return running.permit.withPermit(digestOn(rows, agency, running))
    })

  return {
    chunkAt,
    readBets: (agency, from, length) => readBets(rows, agency, from, length),
    digest
  } satisfies Partial<BetLedger["Service"]>
}

/**
 * The stored bytes from a place on. `next` is the first byte that was not read. At the end of a chunk it is the start of
 * the next one, so that it remains valid when more is stored.
 */
const readBets = Effect.fnUntraced(function*(
  rows: ChunkRows,
  agency: AgencyId,
  from: BetCursor,
  length: number
) {
  invariant(from.seq > 0 && from.offset >= 0, "a cursor is a place among the stored bets")
  const pieces: Array<Uint8Array> = []
  let wanted = length
  let next = from
  while (wanted > 0) {
    const chunks = yield* rows.ofAgency("readBets", agency, next.seq, next.offset + wanted)
    for (const chunk of chunks) {
      yield* requireNext("readBets", agency, next.seq, chunk)
      const { body } = chunk
      if (next.offset > body.length) return yield* lostPlace(agency)
      const piece = body.subarray(next.offset, next.offset + wanted)
      pieces.push(piece)
      wanted -= piece.length
      const end = next.offset + piece.length
      next = end === body.length ? { seq: next.seq + 1, offset: 0 } : { seq: next.seq, offset: end }
      if (wanted === 0) break
    }
    if (chunks.length === 0) {
      if (next.offset > 0) return yield* lostPlace(agency)
      break
    }
  }
  return { bytes: new Uint8Array(Buffer.concat(pieces)), next }
})

const lostPlace = (agency: AgencyId): LedgerUnavailable =>
  unavailable("readBets", `fewer bets of agency ${agency} are stored than before`)

const requireNext = (
  operation: string,
  agency: AgencyId,
  seq: number,
  chunk: ChunkRow
): Effect.Effect<void, LedgerUnavailable> =>
  chunk.seq === seq
    ? Effect.void
    : damaged(operation, `chunk ${seq} of agency ${agency} is missing`)

const emptyDigest = (permit: Semaphore.Semaphore): RunningDigest => ({
  permit,
  hash: createHash("sha256"),
  seq: 0,
  bets: 0,
  checksum: 0,
  length: 0
})

/** Reads the last chunk that is in the digest once more, to see whether it is still there. */
const digestOn = Effect.fnUntraced(function*(
  rows: ChunkRows,
  agency: AgencyId,
  running: RunningDigest
) {
  for (;;) {
    const { seq } = running
    const [first, ...others] = yield* rows.ofAgency(
      "digest",
      agency,
      Math.max(1, seq),
      running.length + sliceBytes
    )
    const isContinued = seq === 0 || (first?.seq === seq && first.checksum === running.checksum)
    if (!isContinued) {
      Object.assign(running, emptyDigest(running.permit))
      continue
    }
    const chunks = seq > 0 || first === undefined ? others : [first, ...others]
    for (const chunk of chunks) {
      yield* requireNext("digest", agency, running.seq + 1, chunk)
      running.hash.update(csvOfBody(agency, chunk.body))
      running.seq = chunk.seq
      running.bets += chunk.bets
      running.checksum = chunk.checksum
      running.length = chunk.body.length
    }
    if (chunks.length === 0) break
  }
  return { seq: running.seq, bets: running.bets, digest: running.hash.copy().digest("hex") }
})
