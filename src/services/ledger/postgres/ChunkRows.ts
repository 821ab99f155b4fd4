/** Rows of `chunk`: read in slices that memory bounds, and compared with their checksums. */
import { Effect } from "effect"
import type { LedgerUnavailable } from "../BetLedger.ts"
import { chunkChecksum } from "../ChunkChecksum.ts"
import { bytes, flag, integer, type Row } from "./Columns.ts"
import type { LinkPool } from "./Links.ts"
import { damaged } from "./SqlFailures.ts"

export interface ChunkRow {
  readonly agency: number
  readonly seq: number
  readonly last: boolean
  readonly bets: number
  readonly total: number
  readonly checksum: number
  readonly numbers: Uint8Array
  readonly body: Uint8Array
}

const columns =
  "agency, seq, last, bets, total, checksum, numbers, convert_to(body, 'UTF8') AS body"

export const chunkStatement =
  `SELECT ${columns} FROM chunk WHERE lottery = $1::bigint AND agency = $2::bigint AND seq = $3::bigint`

/**
 * The chunks from (agency $2, seq $3) on, in order: as many as begin within the first $4 bytes of their bodies, at least
 * one, and $5 at most. The length of a body is known without reading it.
 */
const slice = (place: string) =>
  `SELECT ${columns} FROM (
    SELECT *, sum(octet_length(body)) OVER (ORDER BY agency, seq) - octet_length(body) AS before
    FROM chunk WHERE lottery = $1::bigint AND ${place}
    ORDER BY agency, seq LIMIT $5::integer
  ) c WHERE before < $4::bigint ORDER BY agency, seq`
const sliceOfAgency = slice("agency = $2::bigint AND seq >= $3::bigint")
const sliceOfAgencies = slice("(agency, seq) >= ($2::bigint, $3::bigint) AND agency <= $6::bigint")

/** A body of one chunk is longer than this. */
const bytesOfChunk = 256
const rowsMax = 1000

export class ChunkRows {
  readonly #links: LinkPool
  readonly #lottery: bigint

  constructor(links: LinkPool, lottery: number) {
    this.#links = links
    this.#lottery = BigInt(lottery)
  }

  /** The next chunks of the agency, beginning with `seq`, within about so many bytes; none at the end. */
  ofAgency(
    operation: string,
    agency: number,
    seq: number,
    length: number
  ): Effect.Effect<ReadonlyArray<ChunkRow>, LedgerUnavailable> {
    return this.#read(operation, sliceOfAgency, [agency, seq], length)
  }

  /** The next chunks of the agencies up to `last`, in the order of (agency, seq). */
  ofAgencies(
    operation: string,
    { agency, seq }: { readonly agency: number; readonly seq: number },
    last: number,
    length: number
  ): Effect.Effect<ReadonlyArray<ChunkRow>, LedgerUnavailable> {
    return this.#read(operation, sliceOfAgencies, [agency, seq], length, [last])
  }

  #read(
    operation: string,
    statement: string,
    from: ReadonlyArray<number>,
    length: number,
    others: ReadonlyArray<number> = []
  ) {
    const rows = Math.min(rowsMax, Math.ceil(length / bytesOfChunk) + 1)
    const parameters = [
      this.#lottery,
      ...from.map(BigInt),
      BigInt(length),
      rows,
      ...others.map(BigInt)
    ]
    return this.#links.use(operation, (connection) =>
      Effect.flatMap(
        connection.query(statement, parameters),
        (result) => Effect.forEach(result.rows, (row) => intactChunk(operation, row))
      ))
  }
}

/** The row, if it is what was stored. */
export const intactChunk = (
  operation: string,
  row: Row
): Effect.Effect<ChunkRow, LedgerUnavailable> => {
  const chunk = chunkOf(row)
  const { agency, bets, body, checksum, last, numbers, seq } = chunk
  return checksum === chunkChecksum(agency, seq, last ? 1 : 0, bets, numbers, body)
    ? Effect.succeed(chunk)
    : damaged(operation, `chunk ${seq} of agency ${agency} is not what was stored`)
}

const chunkOf = (row: Row): ChunkRow => ({
  agency: integer(row, "agency"),
  seq: integer(row, "seq"),
  last: flag(row, "last"),
  bets: integer(row, "bets"),
  total: integer(row, "total"),
  checksum: integer(row, "checksum"),
  numbers: bytes(row, "numbers"),
  body: bytes(row, "body")
})
