/**
 * The checksum of a stored chunk, the same whatever it is stored in: a copy of a ledger keeps it. It covers what the chunk
 * says of itself, and not where it stands: readers check that each agency's chunks come in the order of `seq`.
 *
 * It is zlib's CRC-32: in JavaScript it would take three times as long for each chunk.
 */
import { crc32 } from "node:zlib"

/** `last` is 0 or 1. */
export const chunkChecksum = (
  agency: number,
  seq: number,
  last: number,
  bets: number,
  numbers: Uint8Array,
  body: Uint8Array
): number => crc32(body, crc32(numbers, crc32(`${agency} ${seq} ${last} ${bets}`)))
