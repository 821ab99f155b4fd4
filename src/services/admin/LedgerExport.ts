/** `export`: every stored bet as CSV, by agency, then in the order stored. */
import { Stream } from "effect"
import { csvOfBody } from "../../domain/Csv.ts"
import { chunksByAgency } from "./LedgerChunks.ts"
import type { LedgerFileError } from "./ReadLedger.ts"

export interface ExportedChunk {
  readonly agency: number
  readonly bets: number
  readonly csv: Uint8Array
}

export const exportChunks = (
  file: string
): Stream.Stream<ReadonlyArray<ExportedChunk>, LedgerFileError> =>
  Stream.map(
    chunksByAgency("export", file),
    (chunks) =>
      chunks.map(({ agency, bets, body }) => ({ agency, bets, csv: csvOfBody(agency, body) }))
  )
