/** The winners among the bets of one chunk. The numbers are searched, and the body is read only where one of them wins. */
import { lineFeed, tab } from "./Ascii.ts"
import type { Chunk } from "./Chunk.ts"

/** The documents of the chunk's winning bets, one per bet, in their order. */
export const winningDocuments = (
  { body, numbers }: Pick<Chunk, "body" | "numbers">,
  winningNumber: number
): ReadonlyArray<string> => {
  const positions = winningPositions(numbers, winningNumber)
  return positions.length === 0 ? [] : documentsAt(body, positions)
}

/** The winning bets' positions in the chunk, from 0. A match in the middle of two numbers doesn't count. */
const winningPositions = (numbers: Uint8Array, winningNumber: number): ReadonlyArray<number> => {
  const [high, low] = [winningNumber >> 8, winningNumber & 0xff]
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
