/** Finds the winners. Every chunk is read whole, and no draw is held if one is damaged, missing, or not in its place. */
import type { DatabaseSync } from "node:sqlite"
import { winningDocuments } from "../../../domain/WinningDocuments.ts"
import { chunkColumns, intactChunk } from "./ChunkTable.ts"
import type { DrawRecord } from "./DrawTable.ts"
import { damaged, defect, misplaced } from "./LedgerProblem.ts"
import { readLottery } from "./LotteryTable.ts"

/** The winning number is read here, and nowhere before. The last chunk's row id is `lastChunk`. */
export const drawWinners = (db: DatabaseSync, lastChunk: number): DrawRecord => {
  const winningNumber = readLottery(db)?.winningNumber
  if (winningNumber === undefined) throw defect("the ledger has no lottery")
  const winners = new Map<number, Array<string>>()
  const lastSeqs = new Map<number, number>()
  let read = 0
  for (const row of db.prepare(`SELECT ${chunkColumns} FROM chunk ORDER BY id`).iterate()) {
    const { agency, body, id, numbers, seq } = intactChunk(row)
    if (id !== ++read) throw damaged(`chunk row ${read} is missing`)
    // The winners' order is that of the agency's bets.
    if (seq !== (lastSeqs.get(agency) ?? 0) + 1) throw misplaced(agency, seq)
    lastSeqs.set(agency, seq)
    const documents = winningDocuments({ body, numbers }, winningNumber)
    if (documents.length === 0) continue
    const known = winners.get(agency)
    if (known === undefined) winners.set(agency, [...documents])
    else for (const document of documents) known.push(document)
  }
  if (read !== lastChunk) throw damaged(`chunk row ${read + 1} is missing`)
  return { winningNumber, winners }
}
