/**
 * The chunks of a ledger's file by agency, then in the order stored. They are read in short transactions and are still of
 * one moment, because chunks are only ever added.
 */
import { Effect, Stream } from "effect"
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { chunkColumns, intactChunk } from "../ledger/sqlite/ChunkTable.ts"
import { integer } from "../ledger/sqlite/Columns.ts"
import { misplaced } from "../ledger/sqlite/LedgerProblem.ts"
import { attempt, inTransaction, openLedger } from "./ReadLedger.ts"
import type { LedgerReadError, StoredChunk } from "./StoredLedger.ts"

/** Chunks are read, and given out, in pieces of about this size. */
const pieceBytes = 256 * 1024
/** Chunks can be empty. */
const pieceChunks = 4096

/** As StoredLedger's `chunks`. */
export const chunksByAgency = (
  operation: string,
  file: string
): Stream.Stream<ReadonlyArray<StoredChunk>, LedgerReadError> =>
  Stream.unwrap(Effect.gen(function*() {
    const db = yield* openLedger(file)
    const start = yield* attempt(operation, file, () => fixOrder(db))
    return Stream.unfold(
      start,
      (place) => attempt(operation, file, () => inTransaction(db, () => nextPiece(place)))
    )
  }))

/** How far the reading is. */
interface Place {
  readonly order: StatementSync
  readonly chunk: StatementSync
  /** The last position of the order that was given out. */
  readonly after: number
}

/** Writes down which chunks come in which order, in a temporary table that SQLite moves to disk when it is large. */
const fixOrder = (db: DatabaseSync): Place => {
  db.exec(`
    CREATE TEMP TABLE reading_order (
      position INTEGER PRIMARY KEY, agency INTEGER, seq INTEGER, chunk INTEGER
    );
    INSERT INTO temp.reading_order (agency, seq, chunk)
      SELECT agency, row_number() OVER (PARTITION BY agency ORDER BY id), id FROM chunk
      ORDER BY agency, id;
  `)
  return {
    order: db.prepare(
      "SELECT position, agency, seq, chunk FROM temp.reading_order WHERE position > ? ORDER BY position"
    ),
    chunk: db.prepare(`SELECT ${chunkColumns} FROM chunk WHERE id = ?`),
    after: 0
  }
}

const nextPiece = (place: Place): readonly [ReadonlyArray<StoredChunk>, Place] | undefined => {
  const chunks: Array<StoredChunk> = []
  let bytes = 0
  let after = place.after
  for (const row of place.order.iterate(after)) {
    const { last, ...chunk } = intactChunk(place.chunk.get(integer(row, "chunk")))
    if (chunk.agency !== integer(row, "agency") || chunk.seq !== integer(row, "seq")) {
      throw misplaced(chunk.agency, chunk.seq)
    }
    chunks.push({ ...chunk, last: last === 1 })
    bytes += chunk.body.length
    after = integer(row, "position")
    if (bytes >= pieceBytes || chunks.length === pieceChunks) break
  }
  return chunks.length === 0 ? undefined : [chunks, { ...place, after }]
}
