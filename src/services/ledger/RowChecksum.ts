/** The checksum of a stored row without bulk, the same whatever it is stored in. Those of chunks: see ChunkChecksum.ts. */
import { crc32 } from "node:zlib"

export const rowChecksum = (...columns: ReadonlyArray<number | string>): number =>
  crc32(columns.join(" "))
