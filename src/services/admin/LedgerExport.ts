/** `export`: every stored bet as CSV, by agency, then in the order stored. */
import { Effect, Stream } from "effect"
import { csvOfBody } from "../../domain/Csv.ts"
import type { LedgerAddress } from "./LedgerAddress.ts"
import { openStored } from "./OpenStored.ts"
import type { LedgerReadError } from "./StoredLedger.ts"

export interface ExportedChunk {
  readonly agency: number
  readonly bets: number
  readonly csv: Uint8Array
}

export const exportChunks = (
  address: LedgerAddress
): Stream.Stream<ReadonlyArray<ExportedChunk>, LedgerReadError> =>
  Stream.unwrap(
    Effect.map(openStored(address), (ledger) =>
      Stream.map(ledger.chunks("export"), (chunks) =>
        chunks.filter(({ bets }) =>
          bets > 0
        ).map(({ agency, bets, body }) => ({ agency, bets, csv: csvOfBody(agency, body) }))))
  )
