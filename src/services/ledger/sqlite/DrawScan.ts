/** Finds the winners. Every chunk is read whole, and no draw is held if one is damaged, missing, or not in its place. */
import type { DatabaseSync } from "node:sqlite"
import { lineFeed, tab } from "../../../domain/Ascii.ts"
import { chunkColumns, intactChunk } from "./ChunkTable.ts"
import type { DrawRecord } from "./DrawTable.ts"
import { damaged, defect, misplaced } from "./LedgerProblem.ts"
import { readLottery } from "./LotteryTable.ts"

/** The winning number is read here, and nowhere before. The last chunk's row id is `lastChunk`. */
export const drawWinners = (db: DatabaseSync, lastChunk: number): DrawRecord => {
  const winningNumber = readLottery(db)?.winningNumber
  if (winningNumber === undefined) throw defect("the ledger has no lottery")
  const pattern = new Uint8Array([winningNumber >> 8, winningNumber & 0xff])
  const winners = new Map<number, Array<string>>()
  const lastSeqs = new Map<number, number>()
  let read = 0
  for (const row of db.prepare(`SELECT ${chunkColumns} FROM chunk ORDER BY id`).iterate()) {
    const { agency, body, id, numbers, seq } = intactChunk(row)
    if (id !== ++read) throw damaged(`chunk row ${read} is missing`)
    // The winners' order is that of the agency's bets.
    if (seq !== (lastSeqs.get(agency) ?? 0) + 1) throw misplaced(agency, seq)
    lastSeqs.set(agency, seq)
    const positions = winningPositions(numbers, pattern)
    if (positions.length === 0) continue
    const documents = documentsAt(body, positions)
    const known = winners.get(agency)
    if (known === undefined) winners.set(agency, documents)
    else for (const document of documents) known.push(document)
  }
  if (read !== lastChunk) throw damaged(`chunk row ${read + 1} is missing`)
  return { winningNumber, winners }
}

/** The winning bets' positions in the chunk, from 0. A match in the middle of two numbers doesn't count. */
const winningPositions = (numbers: Uint8Array, [high, low]: Uint8Array): ReadonlyArray<number> => {
  const positions: Array<number> = []
  for (let at = 0; at < numbers.length; at += 2) {
    if (numbers[at] === high && numbers[at + 1] === low) positions.push(at / 2)
  }
  return positions
}

/** The documents of the bets at these ascending positions: the third field of each line. */
const documentsAt = (body: Uint8Array, positions: ReadonlyArray<number>): Array<string> => {
  const documents: Array<string> = []
  let start = 0
  let line = 0
  for (const position of positions) {
    for (; line < position; line++) start = body.indexOf(lineFeed, start) + 1
    const second = body.indexOf(tab, body.indexOf(tab, start) + 1) + 1
    const end = body.indexOf(tab, second)
    documents.push(String.fromCharCode(...body.subarray(second, end)))
  }
  return documents
}
