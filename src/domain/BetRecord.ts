/**
 * A bet as the ledger keeps it: its five fields in UTF-8, separated by tabs and ended by a line feed. No field can hold
 * either separator (BetRules), so nothing is escaped. Records of an agency can be joined, compared and cut bytewise at
 * line feeds, and an operator can read them. No Effect here: the parser child and the ledger's threads import this file.
 */
import { lineFeed } from "./Ascii.ts"

const fieldSeparator = "\t"
const recordEnd = "\n"

export const recordOf = (fields: ReadonlyArray<string>): string =>
  `${fields.join(fieldSeparator)}${recordEnd}`

/** The fields of one record without its line feed. */
export const fieldsOfRecord = (record: string): Array<string> => record.split(fieldSeparator)

/** What stands before, between and after the line feeds: the last is empty in a body that is whole. */
export const splitRecords = (body: string): Array<string> => body.split(recordEnd)

/** How many bets a body (or a piece of one that ends at a bet's end) holds. */
export const countBets = (body: Uint8Array): number => {
  let bets = 0
  for (let at = body.indexOf(lineFeed); at !== -1; at = body.indexOf(lineFeed, at + 1)) bets++
  return bets
}

/** The shortest bet: `a⇥b⇥1⇥1999-03-17⇥7⏎`. */
const recordBytesMin = 19

/** Whether numbers and body (Chunk.ts) are as long as those of so many bets are. Cheap: it doesn't look into them. */
export const sizesAgree = (
  bets: number,
  numbers: Uint8Array,
  body: Uint8Array
): boolean =>
  numbers.length === 2 * bets
  && (bets === 0
    ? body.length === 0
    : body.length >= recordBytesMin * bets && body[body.length - 1] === lineFeed)
