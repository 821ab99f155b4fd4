/** Rows of `chunk`, and whether they are what was stored. */
import type { DatabaseSync } from "node:sqlite"
import { chunkChecksum } from "../ChunkChecksum.ts"
import { blob, integer, type Row } from "./Columns.ts"
import { damaged } from "./LedgerProblem.ts"

export interface ChunkRow {
  readonly id: number
  readonly agency: number
  readonly seq: number
  readonly last: number
  readonly bets: number
  readonly numbers: Uint8Array<ArrayBuffer>
  readonly body: Uint8Array<ArrayBuffer>
  readonly checksum: number
}

/** The columns that {@link chunkOf} reads. */
export const chunkColumns =
  "id, agency, seq, last, bets, numbers, CAST(body AS BLOB) AS body, checksum"

/** The id of the last chunk; 0 if there is none. */
export const readLastChunk = (db: DatabaseSync): number =>
  integer(db.prepare("SELECT coalesce(max(id), 0) AS id FROM chunk").get(), "id")

/** The row as it is, which need not be what was stored. */
export const chunkOf = (row: Row): ChunkRow => ({
  id: integer(row, "id"),
  agency: integer(row, "agency"),
  seq: integer(row, "seq"),
  last: integer(row, "last"),
  bets: integer(row, "bets"),
  numbers: blob(row, "numbers"),
  body: blob(row, "body"),
  checksum: integer(row, "checksum")
})

export const isIntact = (
  { agency, bets, body, checksum, last, numbers, seq }: ChunkRow
): boolean => checksum === chunkChecksum(agency, seq, last, bets, numbers, body)

/** The row, if it is what was stored. */
export const intactChunk = (row: Row | undefined): ChunkRow => {
  if (row === undefined) throw damaged("a chunk is missing")
  const chunk = chunkOf(row)
  if (!isIntact(chunk)) throw damaged(`chunk row ${chunk.id} is not what was stored`)
  return chunk
}
