/**
 * The decision: from what is known of an agency and what it sent now, to store it, to answer it as stored already, or
 * to refuse it. Pure. An agency has at most one chunk between decision and disk, so what is known is what is stored,
 * and a failed group leaves nothing to undo.
 *
 * Some decisions need a look at stored bets: {@link question} says which, the caller fetches them, {@link decide}
 * judges. Bodies are compared as bytes: separators can't be part of a field, so equal bytes are equal bets, across
 * chunk borders too (domain/Chunk.ts).
 */
import { type Chunk, countBets, lineFeed } from "./Chunk.ts"
import type { Rejection } from "./Rejection.ts"

/** What is stored of one agency. */
export interface AgencyRecord {
  /** The last chunk's `seq`; 0 when there is none. Chunks are numbered 1, 2, 3 … without gaps. */
  readonly seq: number
  readonly bets: number
  readonly finished: boolean
}

export const nothingStored: AgencyRecord = { seq: 0, bets: 0, finished: false }

/** A place in an agency's bets: `offset` bytes into the body of chunk `seq`. */
export interface BetCursor {
  readonly seq: number
  readonly offset: number
}

const top: BetCursor = { seq: 1, offset: 0 }

/** What a connection has shown of itself. It matters only to chunks without `seq`. */
export type Speaker =
  /** No bet yet: it may be an agency that starts again from the top. */
  | { readonly _tag: "New" }
  /** Its first `bets` bets are the stored ones; the next stored bet is at `from`. */
  | { readonly _tag: "Repeating"; readonly from: BetCursor; readonly bets: number }
  /** What it sends is new. */
  | { readonly _tag: "Selling" }

export const newSpeaker: Speaker = { _tag: "New" }
export const sellingSpeaker: Speaker = { _tag: "Selling" }

/** What has to be looked up before a decision. */
export type Question =
  | { readonly _tag: "Nothing" }
  | { readonly _tag: "ChunkAt"; readonly seq: number }
  | { readonly _tag: "BetsFrom"; readonly from: BetCursor; readonly bytes: number }

/** What the ledger said to a {@link Question}. */
export type Evidence =
  | { readonly _tag: "Nothing" }
  | { readonly _tag: "ChunkAt"; readonly last: boolean; readonly body: Uint8Array }
  /** As many bytes as asked for; fewer only where the agency's bets end. */
  | { readonly _tag: "BetsFrom"; readonly bytes: Uint8Array; readonly next: BetCursor }

export type Decision =
  | {
    readonly _tag: "Store"
    readonly seq: number
    readonly last: boolean
    readonly bets: number
    readonly numbers: Uint8Array
    readonly body: Uint8Array
    readonly speaker: Speaker
  }
  /** Everything in it is stored already. */
  | { readonly _tag: "Stored"; readonly speaker: Speaker }
  | { readonly _tag: "Reject"; readonly rejection: Rejection }

const nothing: Question = { _tag: "Nothing" }

export const question = (record: AgencyRecord, speaker: Speaker, chunk: Chunk): Question => {
  if (chunk.seq !== undefined) {
    return chunk.seq <= record.seq ? { _tag: "ChunkAt", seq: chunk.seq } : nothing
  }
  if (chunk.bets === 0 || record.bets === 0 || speaker._tag === "Selling") return nothing
  const from = speaker._tag === "New" ? top : speaker.from
  return { _tag: "BetsFrom", from, bytes: chunk.body.length }
}

export const decide = (
  record: AgencyRecord,
  speaker: Speaker,
  chunk: Chunk,
  evidence: Evidence
): Decision =>
  chunk.seq === undefined
    ? decideUncounted(record, speaker, chunk, evidence)
    : decideCounted(record, chunk.seq, chunk, evidence)

/** What is known of the agency once a decision to store is on disk. */
export const recordAfter = (
  record: AgencyRecord,
  stored: { readonly seq: number; readonly bets: number; readonly last: boolean }
): AgencyRecord => ({
  seq: stored.seq,
  bets: record.bets + stored.bets,
  finished: record.finished || stored.last
})

const decideCounted = (
  record: AgencyRecord,
  seq: number,
  chunk: Chunk,
  evidence: Evidence
): Decision => {
  if (seq <= record.seq) {
    return evidence._tag === "ChunkAt" && evidence.last === chunk.last
        && sameBytes(evidence.body, chunk.body)
      ? { _tag: "Stored", speaker: sellingSpeaker }
      : reject(
        "SEQUENCE_CONFLICT",
        `another chunk is stored as seq ${seq}; RESUME tells where to go on`
      )
  }
  if (record.finished) return finished
  const expectedSeq = record.seq + 1
  if (seq > expectedSeq) {
    return reject("SEQUENCE_GAP", `seq ${expectedSeq} comes next, not ${seq}`, { expectedSeq })
  }
  return store(record, chunk, chunk, sellingSpeaker)
}

const decideUncounted = (
  record: AgencyRecord,
  speaker: Speaker,
  chunk: Chunk,
  evidence: Evidence
): Decision => {
  if (speaker._tag === "Selling" || record.bets === 0) return sell(record, chunk)
  if (speaker._tag === "Repeating") return repeat(record, speaker, chunk, evidence)
  if (chunk.bets === 0) {
    return chunk.last ? sell(record, chunk) : { _tag: "Stored", speaker }
  }
  return startsWithStoredBet(chunk, evidence)
    ? repeat(record, { _tag: "Repeating", from: top, bets: 0 }, chunk, evidence)
    : sell(record, chunk)
}

const sell = (record: AgencyRecord, chunk: Chunk): Decision => {
  if (!record.finished) return store(record, chunk, chunk, sellingSpeaker)
  return chunk.bets === 0 ? { _tag: "Stored", speaker: sellingSpeaker } : finished
}

/** The chunk goes on with a repetition of everything up to `speaker.from`. */
const repeat = (
  record: AgencyRecord,
  speaker: Extract<Speaker, { _tag: "Repeating" }>,
  chunk: Chunk,
  evidence: Evidence
): Decision => {
  const stored = evidence._tag === "BetsFrom" ? evidence.bytes : new Uint8Array(0)
  if (!sameBytes(stored, chunk.body.subarray(0, stored.length))) {
    return reject("REPLAY_MISMATCH", "the bets sent again differ from the stored ones")
  }
  const repeated = countBets(stored)
  const bets = speaker.bets + repeated
  if (chunk.bets > repeated) {
    if (record.finished) return finished
    const tail = {
      bets: chunk.bets - repeated,
      numbers: chunk.numbers.subarray(2 * repeated),
      body: chunk.body.subarray(stored.length)
    }
    return store(record, chunk, tail, sellingSpeaker)
  }
  if (!chunk.last) {
    const from = evidence._tag === "BetsFrom" ? evidence.next : speaker.from
    return { _tag: "Stored", speaker: { _tag: "Repeating", from, bets } }
  }
  if (bets < record.bets) {
    return reject(
      "REPLAY_MISMATCH",
      `the repetition ends at bet ${bets} of ${record.bets} stored ones`
    )
  }
  if (record.finished) return { _tag: "Stored", speaker: sellingSpeaker }
  const none = { bets: 0, numbers: new Uint8Array(0), body: new Uint8Array(0) }
  return store(record, chunk, none, sellingSpeaker)
}

const startsWithStoredBet = (chunk: Chunk, evidence: Evidence): boolean => {
  if (evidence._tag !== "BetsFrom") return false
  const bet = chunk.body.subarray(0, chunk.body.indexOf(lineFeed) + 1)
  return sameBytes(bet, evidence.bytes.subarray(0, bet.length))
}

const store = (
  record: AgencyRecord,
  chunk: Chunk,
  what: Pick<Chunk, "bets" | "numbers" | "body">,
  speaker: Speaker
): Decision => ({
  _tag: "Store",
  seq: record.seq + 1,
  last: chunk.last,
  bets: what.bets,
  numbers: what.numbers,
  body: what.body,
  speaker
})

const reject = (
  code: Rejection["code"],
  message: string,
  more: Partial<Rejection> = {}
): Decision => ({ _tag: "Reject", rejection: { code, message, ...more } })

const finished = reject("AGENCY_FINISHED", "the agency's last chunk is stored already")

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false
  return true
}
