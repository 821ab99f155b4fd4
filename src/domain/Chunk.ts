/**
 * A chunk as the parser hands it on: validated, and already in the shape the ledger stores.
 * No Effect here: the parser child imports this file.
 *
 * `body` holds the bets one after another, UTF-8, each `first⇥last⇥document⇥birthdate⇥number⏎` (tab, line feed).
 * No field can hold either separator, so nothing is escaped, bodies of an agency can be joined, compared and cut
 * bytewise at line feeds, and an operator can read them. `numbers` holds the same bets' numbers, 2 bytes each,
 * big-endian, so that the draw needn't read bodies.
 */

/** What an agency sent with SEND_CHUNK (`last: false`) or SEND_LAST_CHUNK (`last: true`). */
export interface Chunk {
  /** As the message says; a positive integer, not yet known to be in the roster. */
  readonly agency: number
  /** The agency's chunk counter, from 1; undefined from an agency that doesn't count. */
  readonly seq: number | undefined
  readonly last: boolean
  /** How many bets; 0 is legal. */
  readonly bets: number
  readonly numbers: Uint8Array
  readonly body: Uint8Array
}

/** What came of one frame on the bets port. */
export type Parsed =
  | ({ readonly _tag: "Chunk" } & Chunk)
  | { readonly _tag: "Resume"; readonly agency: number }
  /** A message of the consult port; `agency` is there when it could be read. */
  | { readonly _tag: "WrongPort"; readonly agency: number | undefined }
  | ParseRefusal

/** Nothing of the message can be used. `agency` and `seq` are there when they could be read. */
export interface ParseRefusal {
  readonly _tag: "Refused"
  readonly code: "INVALID_MESSAGE" | "INVALID_BET"
  readonly agency: number | undefined
  readonly seq: number | undefined
  /** The bet's index in the payload, from 0, with INVALID_BET. */
  readonly index: number | undefined
  /** For people; holds no personal data. */
  readonly message: string
}

export const tab = 0x09
export const lineFeed = 0x0a

/** How many bets a body (or a piece of one that ends at a bet's end) holds. */
export const countBets = (body: Uint8Array): number => {
  let bets = 0
  for (let at = body.indexOf(lineFeed); at !== -1; at = body.indexOf(lineFeed, at + 1)) bets++
  return bets
}
