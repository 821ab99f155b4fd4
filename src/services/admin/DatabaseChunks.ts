/**
 * The chunks of a lottery in a database, by agency, then in the order stored: read in pieces, each with a short statement
 * that continues after the last chunk of the piece before. What is read is still of one moment, because chunks are only
 * ever added, and where each agency ended at that moment is known.
 */
import type { PgConnection } from "@effect/sql-pg/PgConnection"
import { Effect } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { chunkChecksum } from "../ledger/ChunkChecksum.ts"
import { bytes, flag, integer, type Row } from "../ledger/postgres/Columns.ts"
import type { StoredChunk } from "./StoredLedger.ts"

export interface DatabaseChunk extends StoredChunk {
  readonly epoch: number
  /** The agency's bets up to and with this chunk. */
  readonly total: number
  readonly checksum: number
}

/** The place of a chunk. */
export interface ChunkPlace {
  readonly agency: number
  readonly seq: number
}

export const beforeAll: ChunkPlace = { agency: 0, seq: 0 }

/** A piece ends with the chunk that has this many bets filled: 800 kB of usual bets, 14 MB of the longest. */
const pieceBets = 16_384
/** Chunks can be empty, or have one bet. */
const pieceChunks = 512

/** The chunks after a place, as they are, which need not be what was stored; none at the end. */
export const readPiece = Effect.fnUntraced(function*(
  connection: PgConnection,
  lottery: number,
  after: ChunkPlace
): Effect.fn.Return<ReadonlyArray<DatabaseChunk>, SqlError> {
  const from = [BigInt(lottery), BigInt(after.agency), BigInt(after.seq)]
  const sizes = yield* connection.query(
    `SELECT agency, seq, bets FROM chunk WHERE lottery = $1 AND (agency, seq) > ($2, $3)
     ORDER BY agency, seq LIMIT ${pieceChunks}`,
    from
  )
  const end = endOfPiece(sizes.rows)
  if (end === undefined) return []
  const { rows } = yield* connection.query(
    `SELECT agency, seq, epoch, total, checksum, bets, last, numbers, convert_to(body, 'UTF8') AS body
     FROM chunk WHERE lottery = $1 AND (agency, seq) > ($2, $3) AND (agency, seq) <= ($4, $5)
     ORDER BY agency, seq`,
    [...from, BigInt(end.agency), BigInt(end.seq)]
  )
  return rows.map(chunkOf)
})

const endOfPiece = (rows: ReadonlyArray<Row>): ChunkPlace | undefined => {
  let bets = 0
  let end: ChunkPlace | undefined
  for (const row of rows) {
    end = { agency: integer(row, "agency"), seq: integer(row, "seq") }
    bets += integer(row, "bets")
    if (bets >= pieceBets) break
  }
  return end
}

const chunkOf = (row: Row): DatabaseChunk => ({
  agency: integer(row, "agency"),
  seq: integer(row, "seq"),
  epoch: integer(row, "epoch"),
  total: integer(row, "total"),
  checksum: integer(row, "checksum"),
  bets: integer(row, "bets"),
  last: flag(row, "last"),
  numbers: bytes(row, "numbers"),
  body: bytes(row, "body")
})

export const isIntact = (
  { agency, bets, body, checksum, last, numbers, seq }: DatabaseChunk
): boolean => checksum === chunkChecksum(agency, seq, last ? 1 : 0, bets, numbers, body)
