/**
 * Checksums, which tell damage from what was stored. SQLite finds a broken structure, not a flipped bit in a row, and a
 * disk returns such bits silently. So every row that a promise depends on carries a CRC-32 of itself, which every reader
 * compares. A damaged row is reported and never used.
 */
import type { DatabaseSync } from "node:sqlite"
import { crc32 } from "node:zlib"

/** For a chunk in memory, as a row or in a group. */
export const chunkChecksum = (
  id: number,
  agency: number,
  seq: number,
  last: number,
  bets: number,
  numbers: Uint8Array,
  body: Uint8Array
): number => crc32(body, crc32(numbers, crc32(`${id} ${agency} ${seq} ${last} ${bets}`)))

/** For a row without bulk. */
export const rowChecksum = (...columns: ReadonlyArray<number | string>): number =>
  crc32(columns.join(" "))

/** For the migration that adds checksums to existing rows. */
export const defineChecksums = (db: DatabaseSync): void => {
  const exact = { deterministic: true, directOnly: true } as const
  db.function(
    "chunk_checksum",
    exact,
    (id, agency, seq, last, bets, numbers, body) =>
      numbers instanceof Uint8Array && body instanceof Uint8Array
        ? chunkChecksum(
          Number(id),
          Number(agency),
          Number(seq),
          Number(last),
          Number(bets),
          numbers,
          body
        )
        : 0
  )
  db.function(
    "row_checksum",
    { ...exact, varargs: true },
    (...columns) =>
      rowChecksum(...columns.map((value) => typeof value === "number" ? value : String(value)))
  )
}
