/**
 * The answers on both ports: what a client is told, when its connection is closed, and when it is put off, with which
 * code. Pure: a verdict says what happens, and the session carries it out (services/intake/Session.ts).
 *
 * A client that numbers its chunks (`seq`) is told everything. A client that doesn't number them reads every answer
 * except CHUNK_PROCESSED as "not stored, continue with the next chunk". So it gets no answer to a chunk that could be
 * stored later: its connection is closed, and it sends everything again. If waiting can't help, it gets the rejection,
 * and its connection is closed immediately.
 */
import type { AgencyId } from "./Agency.ts"
import type { Chunk, ParseRefusal } from "./Chunk.ts"
import type { CloseReason } from "./CloseReason.ts"
import type { DrawName } from "./Draw.ts"
import type { encodeAnswer } from "./Message.ts"
import type { Code, ErrorCode, Rejection, RejectionCode } from "./Rejection.ts"

/** A refusal, as the log shows it. */
export interface Refused {
  readonly code: Code
  /** The agency that the message names, if it could be read. The connection's own agency has precedence. */
  readonly agency?: number | undefined
  readonly seq?: number | undefined
  /** The number of bets in the message, if it is known. */
  readonly bets?: number | undefined
  /** The invalid bet's place in the payload, from 0. */
  readonly index?: number | undefined
  /** The frame's length, if that is the reason. */
  readonly bytes?: number | undefined
  /** Whether the client understands the refusal, where the message shows it: only one that numbers its chunks does. */
  readonly understood?: boolean | undefined
}

export interface Verdict {
  readonly answer: Parameters<typeof encodeAnswer>[0] | undefined
  /** Why the connection is closed after the answer; undefined if it stays open. */
  readonly close: CloseReason | undefined
  readonly refused: Refused | undefined
}

// ---- the bets port

/** The agency that a message may speak for on this connection, or why it may not. */
export const speaksFor = (
  bound: AgencyId | undefined,
  claimed: number,
  isAgency: (id: number) => id is AgencyId
): AgencyId | Rejection => {
  if (bound !== undefined && bound !== claimed) {
    return { code: "AGENCY_MISMATCH", message: `this connection speaks for agency ${bound}` }
  }
  return isAgency(claimed)
    ? claimed
    : { code: "UNKNOWN_AGENCY", message: `agency ${claimed} is not in the roster` }
}

const unnumberedProcessed: Verdict = {
  answer: { _tag: "ChunkProcessed" },
  close: undefined,
  refused: undefined
}
const unnumberedFinished: Verdict = { ...unnumberedProcessed, close: "finished" }

/** The whole chunk is on disk. `duplicate`: it was stored before. */
export const processed = (
  { last, seq }: Pick<Chunk, "seq" | "last">,
  duplicate: boolean,
  draw: DrawName
): Verdict =>
  seq === undefined
    ? last ? unnumberedFinished : unnumberedProcessed
    : {
      answer: {
        _tag: "ChunkProcessed",
        seq,
        duplicate: duplicate ? true : undefined,
        draw: last ? draw : undefined
      },
      close: last ? "finished" : undefined,
      refused: undefined
    }

/** Nothing of the message is stored, and sending it again would not help. */
export const rejected = (
  message: {
    readonly agency: number | undefined
    readonly seq?: number | undefined
    readonly bets?: number | undefined
  },
  rejection: Rejection
): Verdict => {
  const { agency, bets, seq } = message
  const { code, index } = rejection
  return {
    answer: { _tag: "ChunkRejected", seq, ...rejection },
    close: seq === undefined ? code : undefined,
    refused: { code, agency, seq, bets, index }
  }
}

/** The parser rejected the message. If its agency may not speak here, the client is told that instead. */
export const unusable = (refusal: ParseRefusal, speaker: AgencyId | Rejection | undefined) => {
  if (typeof speaker === "object") return rejected(refusal, speaker)
  const { code, index, message } = refusal
  return rejected(refusal, index === undefined ? { code, message } : { code, message, index })
}

/** Codes of refusals that waiting can cure. */
type PutOffCode = Extract<
  RejectionCode,
  "LEDGER_UNAVAILABLE" | "PARSER_FAILED" | "OVERLOADED"
>

/** Why nothing is stored now, and when the client may try again. */
export interface PutOff {
  readonly code: PutOffCode
  readonly message: string
  readonly retryAfterMs: number
}

/** Nothing of the message is stored yet. Only a client that numbers its chunks can be told to send it again. */
export const putOff = (
  tellable: boolean,
  seq: number | undefined,
  { code, message, retryAfterMs }: PutOff
): Verdict => ({
  answer: tellable ? { _tag: "ChunkRejected", seq, code, message, retryAfterMs } : undefined,
  close: tellable ? undefined : "unavailable",
  refused: { code, seq, understood: tellable }
})

/** A chunk without `seq` follows a frame that was refused unread, and could take that frame's place. */
export const inAnothersPlace: Verdict = {
  answer: undefined,
  close: "unavailable",
  refused: undefined
}

/** What is stored for the agency, for a client that asks where to continue. */
export const resumePoint = (
  point: { readonly seq: number; readonly bets: number; readonly digest: string },
  finished: boolean,
  draw: DrawName
): Verdict => ({
  answer: { _tag: "ResumePoint", finished, draw, ...point },
  close: undefined,
  refused: undefined
})

// ---- both ports: the connection can't go on

/** The client gets ERROR, and the connection is closed. */
export const endedByError = (
  code: ErrorCode,
  message: string,
  about: Omit<Refused, "code"> = {}
): Verdict => ({
  answer: { _tag: "ErrorAnswer", code, message },
  close: code,
  refused: { code, ...about }
})

export const frameEmpty = endedByError("FRAME_EMPTY", "a frame's length is at least 1")

export const frameTooLarge = (bytes: number, bytesMax: number): Verdict =>
  endedByError("FRAME_TOO_LARGE", `a frame's length is at most ${bytesMax} bytes, not ${bytes}`, {
    bytes
  })

export const frameLate = endedByError("TIMEOUT", "a frame was begun and not ended in time")

export const tooManyConnections = endedByError(
  "TOO_MANY_CONNECTIONS",
  "the central holds as many connections as it may"
)

export const wrongPort = (agency: number | undefined): Verdict =>
  endedByError("WRONG_PORT", "consults belong to the consult port", { agency })

// ---- the consult port

export const unknownConsultant = (agency: number): Verdict =>
  endedByError("UNKNOWN_AGENCY", "the agency is not in the roster", { agency })

/** The agency's own winners, one document per winning bet. */
export const winners = (documents: ReadonlyArray<string>): Verdict => ({
  answer: { _tag: "InformAgencyWinners", documents },
  close: "served",
  refused: undefined
})

export const notDrawnYet = (retryAfterMs: number): Verdict => ({
  answer: { _tag: "WinnersNotReady", retryAfterMs },
  close: "served",
  refused: undefined
})
