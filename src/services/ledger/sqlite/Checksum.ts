/**
 * Checksums, which tell damage from what was stored. SQLite finds a broken structure, not a flipped bit in a row, and a
 * disk returns such bits silently. So every row that a promise depends on carries a CRC-32 of itself, which every reader
 * compares. A damaged row is reported and never used. See
 * RowChecksum.ts and ChunkChecksum.ts.
 */
import type { DatabaseSync, SQLOutputValue } from "node:sqlite"
import { crc32 } from "node:zlib"
import { chunkChecksum } from "../ChunkChecksum.ts"
import { rowChecksum } from "../RowChecksum.ts"

/** Up to version 5 the checksum of a chunk covered the id of its row as well. */
export const checksumWithId = (
  id: number,
  agency: number,
  seq: number,
  last: number,
  bets: number,
  numbers: Uint8Array,
  body: Uint8Array
): number => crc32(body, crc32(numbers, crc32(`${id} ${agency} ${seq} ${last} ${bets}`)))

/** For migrations that give checksums to existing rows. */
export const defineChecksums = (db: DatabaseSync): void => {
  const exact = { deterministic: true, directOnly: true } as const
  db.function("chunk_checksum", exact, (id, agency, seq, last, bets, numbers, body) => {
    const columns = [Number(agency), Number(seq), Number(last), Number(bets)] as const
    return checksumWithId(Number(id), ...columns, bytesOf(numbers), bytesOf(body))
  })
  // A row that isn't what was stored stays one: no checksum is negative.
  db.function("checksum_without_id", exact, (old, id, agency, seq, last, bets, numbers, body) => {
    const columns = [Number(agency), Number(seq), Number(last), Number(bets)] as const
    const bulk = [bytesOf(numbers), bytesOf(body)] as const
    return old === checksumWithId(Number(id), ...columns, ...bulk)
      ? chunkChecksum(...columns, ...bulk)
      : -1
  })
  db.function(
    "row_checksum",
    { ...exact, varargs: true },
    (...columns) =>
      rowChecksum(...columns.map((value) => typeof value === "number" ? value : String(value)))
  )
}

const nothing = new Uint8Array(0)

const bytesOf = (value: SQLOutputValue): Uint8Array => value instanceof Uint8Array ? value : nothing
