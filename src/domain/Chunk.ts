/**
 * A chunk as the parser hands it on: validated, and already in the shape the ledger stores.
 * No Effect here: the parser child imports this file.
 *
 * `body` holds the bets' records one after another (BetRecord.ts). `numbers` holds the same bets' numbers, 2 bytes
 * each, big-endian, so that the draw needn't read bodies.
 */

/** What an agency sent with SEND_CHUNK (`last: false`) or SEND_LAST_CHUNK (`last: true`). */
export interface Chunk {
  /** As the message says: a positive integer, which may not be in the roster. */
  readonly agency: number
  /** The agency's chunk counter, from 1; undefined from an agency that doesn't number its chunks. */
  readonly seq: number | undefined
  readonly last: boolean
  /** How many bets; may be 0. */
  readonly bets: number
  readonly numbers: Uint8Array
  readonly body: Uint8Array
}

/** What the parser made of one frame of the bets port. */
export type Parsed =
  | ({ readonly _tag: "Chunk" } & Chunk)
  | { readonly _tag: "Resume"; readonly agency: number }
  /** A message of the consult port; `agency` is there when it could be read. */
  | { readonly _tag: "WrongPort"; readonly agency: number | undefined }
  | ParseRefusal

/** The message is invalid. `agency` and `seq` are there when they could be read. */
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
