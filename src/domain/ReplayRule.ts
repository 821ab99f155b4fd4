/**
 * The replay rule. From an agency's standing and a chunk, {@link decide} says whether the chunk is stored, answered as
 * stored already, or rejected. Pure. An agency has at most one chunk between decision and disk, so its standing is what
 * is on disk, and a failed group leaves nothing to undo.
 *
 * Some decisions need stored bets as evidence: {@link question} says which, the caller reads them, {@link decide}
 * judges. Bodies are compared as bytes: separators can't be part of a field, so equal bytes are equal bets, across
 * chunk borders too (BetRecord.ts).
 */
import { lineFeed } from "./Ascii.ts"
import { countBets } from "./BetRecord.ts"
import type { Chunk } from "./Chunk.ts"
import type { Rejection } from "./Rejection.ts"
import type { Standing } from "./Standing.ts"

/** A place in an agency's bets: `offset` bytes into the body of chunk `seq`. */
export interface BetCursor {
  readonly seq: number
  readonly offset: number
}

const firstBet: BetCursor = { seq: 1, offset: 0 }

/**
 * How far a connection has repeated what is stored. It matters only to chunks without `seq`: a client that doesn't
 * number its chunks starts again from the top after a crash.
 */
export type Replay =
  /** No bet has come yet: the next may be new, or the first of a repetition. */
  | { readonly _tag: "Unknown" }
  /** The connection's first `bets` bets are the stored ones; the next stored bet is at `from`. */
  | { readonly _tag: "Repeating"; readonly from: BetCursor; readonly bets: number }
  /** The connection's bets are new. */
  | { readonly _tag: "Over" }

export const replayUnknown: Replay = { _tag: "Unknown" }
export const replayOver: Replay = { _tag: "Over" }

/** The stored bets that a decision needs. */
export type Question =
  | { readonly _tag: "Nothing" }
  | { readonly _tag: "ChunkAt"; readonly seq: number }
  | { readonly _tag: "BetsFrom"; readonly from: BetCursor; readonly bytes: number }

/** The ledger's answer to a {@link Question}. */
export type Evidence =
  | { readonly _tag: "Nothing" }
  | { readonly _tag: "ChunkAt"; readonly last: boolean; readonly body: Uint8Array }
  /** As many bytes as asked for, or fewer if the agency's bets end there. */
  | { readonly _tag: "BetsFrom"; readonly bytes: Uint8Array; readonly next: BetCursor }

export type Decision =
  | {
    readonly _tag: "Store"
    readonly seq: number
    readonly last: boolean
    readonly bets: number
    readonly numbers: Uint8Array
    readonly body: Uint8Array
    readonly replay: Replay
  }
  /** Everything in it is stored already. */
  | { readonly _tag: "Stored"; readonly replay: Replay }
  | { readonly _tag: "Reject"; readonly rejection: Rejection }

const nothing: Question = { _tag: "Nothing" }

export const question = (standing: Standing, replay: Replay, chunk: Chunk): Question => {
  if (chunk.seq !== undefined) {
    return chunk.seq <= standing.seq ? { _tag: "ChunkAt", seq: chunk.seq } : nothing
  }
  if (chunk.bets === 0 || standing.bets === 0 || replay._tag === "Over") return nothing
  const from = replay._tag === "Unknown" ? firstBet : replay.from
  return { _tag: "BetsFrom", from, bytes: chunk.body.length }
}

export const decide = (
  standing: Standing,
  replay: Replay,
  chunk: Chunk,
  evidence: Evidence
): Decision =>
  chunk.seq === undefined
    ? decideUnnumbered(standing, replay, chunk, evidence)
    : decideNumbered(standing, chunk.seq, chunk, evidence)

const decideNumbered = (
  standing: Standing,
  seq: number,
  chunk: Chunk,
  evidence: Evidence
): Decision => {
  if (seq <= standing.seq) {
    return evidence._tag === "ChunkAt" && evidence.last === chunk.last
        && sameBytes(evidence.body, chunk.body)
      ? { _tag: "Stored", replay: replayOver }
      : reject(
        "SEQUENCE_CONFLICT",
        `another chunk is stored as seq ${seq}; RESUME tells where to go on`
      )
  }
  if (standing.finished) return finished
  const expectedSeq = standing.seq + 1
  if (seq > expectedSeq) {
    return reject("SEQUENCE_GAP", `seq ${expectedSeq} comes next, not ${seq}`, { expectedSeq })
  }
  return store(standing, chunk, chunk, replayOver)
}

const decideUnnumbered = (
  standing: Standing,
  replay: Replay,
  chunk: Chunk,
  evidence: Evidence
): Decision => {
  if (replay._tag === "Over" || standing.bets === 0) return sell(standing, chunk)
  if (replay._tag === "Repeating") return repeat(standing, replay, chunk, evidence)
  if (chunk.bets === 0) {
    return chunk.last ? sell(standing, chunk) : { _tag: "Stored", replay }
  }
  return startsWithStoredBet(chunk, evidence)
    ? repeat(standing, { _tag: "Repeating", from: firstBet, bets: 0 }, chunk, evidence)
    : sell(standing, chunk)
}

const sell = (standing: Standing, chunk: Chunk): Decision => {
  if (!standing.finished) return store(standing, chunk, chunk, replayOver)
  return chunk.bets === 0 ? { _tag: "Stored", replay: replayOver } : finished
}

/** The chunk continues a repetition of everything up to `replay.from`. */
const repeat = (
  standing: Standing,
  replay: Extract<Replay, { _tag: "Repeating" }>,
  chunk: Chunk,
  evidence: Evidence
): Decision => {
  const stored = evidence._tag === "BetsFrom" ? evidence.bytes : new Uint8Array(0)
  if (!sameBytes(stored, chunk.body.subarray(0, stored.length))) {
    return reject("REPLAY_MISMATCH", "the bets sent again differ from the stored ones")
  }
  const repeated = countBets(stored)
  const bets = replay.bets + repeated
  if (chunk.bets > repeated) {
    if (standing.finished) return finished
    const tail = {
      bets: chunk.bets - repeated,
      numbers: chunk.numbers.subarray(2 * repeated),
      body: chunk.body.subarray(stored.length)
    }
    return store(standing, chunk, tail, replayOver)
  }
  if (!chunk.last) {
    const from = evidence._tag === "BetsFrom" ? evidence.next : replay.from
    return { _tag: "Stored", replay: { _tag: "Repeating", from, bets } }
  }
  if (bets < standing.bets) {
    return reject(
      "REPLAY_MISMATCH",
      `the repetition ends at bet ${bets} of ${standing.bets} stored ones`
    )
  }
  if (standing.finished) return { _tag: "Stored", replay: replayOver }
  const none = { bets: 0, numbers: new Uint8Array(0), body: new Uint8Array(0) }
  return store(standing, chunk, none, replayOver)
}

const startsWithStoredBet = (chunk: Chunk, evidence: Evidence): boolean => {
  if (evidence._tag !== "BetsFrom") return false
  const bet = chunk.body.subarray(0, chunk.body.indexOf(lineFeed) + 1)
  return sameBytes(bet, evidence.bytes.subarray(0, bet.length))
}

const store = (
  standing: Standing,
  chunk: Chunk,
  what: Pick<Chunk, "bets" | "numbers" | "body">,
  replay: Replay
): Decision => ({
  _tag: "Store",
  seq: standing.seq + 1,
  last: chunk.last,
  bets: what.bets,
  numbers: what.numbers,
  body: what.body,
  replay
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
