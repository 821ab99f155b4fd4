/**
 * Finds the winners: scans the numbers of every chunk inside SQLite, so that only chunks with a hit leave it, and
 * bodies are read of those alone. No Effect here: the writer thread imports this file.
 */
import type { DatabaseSync } from "node:sqlite"
import { lineFeed, tab } from "../../domain/Chunk.ts"
import { blob, integer, readLottery } from "./OpenLedger.ts"
import { defect, type DrawRecord } from "./ThreadMessages.ts"

/** The winning number is read here, and nowhere before. */
export const drawWinners = (db: DatabaseSync): DrawRecord => {
  const winningNumber = readLottery(db)?.winningNumber
  if (winningNumber === undefined) throw defect("the ledger has no lottery")
  const pattern = new Uint8Array([winningNumber >> 8, winningNumber & 0xff])
  const winners = new Map<number, Array<string>>()
  const hits = db.prepare(
    "SELECT agency, numbers, CAST(body AS BLOB) AS body FROM chunk WHERE instr(numbers, ?) > 0 ORDER BY id"
  )
  for (const row of hits.iterate(pattern)) {
    const positions = winningPositions(blob(row, "numbers"), pattern)
    if (positions.length === 0) continue
    const documents = documentsAt(blob(row, "body"), positions)
    const agency = integer(row, "agency")
    const known = winners.get(agency)
    if (known === undefined) winners.set(agency, documents)
    else for (const document of documents) known.push(document)
  }
  return { winningNumber, winners }
}

/** Which bets of a chunk, from 0, win. A match that begins in the middle of a number is none. */
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
