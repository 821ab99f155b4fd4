/**
 * Every code with which a message is refused. Codes are stable; the table in docs/PROTOCOL.md is equal to this one
 * (a test compares them). No Effect here: the parser child imports this file.
 */

export interface CodeMeaning {
  /** `rejection`: CHUNK_REJECTED. `error`: ERROR, then the connection is closed. */
  readonly answer: "rejection" | "error" | "both"
  /** Whether the same message can succeed later; answered with `retry_after_ms`, only to clients that send `seq`. */
  readonly retryable: boolean
  readonly meaning: string
  readonly action: string
}

export const codes = {
  INVALID_MESSAGE: {
    answer: "both",
    retryable: false,
    meaning: "The frame is not UTF-8, not JSON, or not a message of this port.",
    action: "Mend the client."
  },
  INVALID_BET: {
    answer: "rejection",
    retryable: false,
    meaning:
      "The bet at `index` (from 0) of the payload breaks a rule; nothing of the chunk is stored.",
    action: "Correct the bet and send the chunk again."
  },
  UNKNOWN_AGENCY: {
    answer: "both",
    retryable: false,
    meaning: "The agency is not in the roster.",
    action: "Check the agency's id, or have the central add it."
  },
  AGENCY_MISMATCH: {
    answer: "rejection",
    retryable: false,
    meaning: "The connection speaks for the agency of its first message, and this is another.",
    action: "Use one connection per agency."
  },
  AGENCY_FINISHED: {
    answer: "rejection",
    retryable: false,
    meaning: "The agency's last chunk is stored; it sells no more in this draw.",
    action: "Consult the winners; new bets belong to the next draw."
  },
  AGENCY_EXCLUDED: {
    answer: "rejection",
    retryable: false,
    meaning: "The central has taken the agency out of this draw.",
    action: "Ask the central."
  },
  SEQUENCE_GAP: {
    answer: "rejection",
    retryable: false,
    meaning: "Chunks before this one are missing; `expected_seq` is the next.",
    action: "Go on at `expected_seq`, or RESUME."
  },
  SEQUENCE_CONFLICT: {
    answer: "rejection",
    retryable: false,
    meaning: "Another chunk is stored under this `seq`.",
    action: "RESUME and compare the digest: the bet file has changed."
  },
  REPLAY_MISMATCH: {
    answer: "rejection",
    retryable: false,
    meaning: "Bets sent again from the top part ways with the stored ones, or end before them.",
    action: "Send the same file as before, or have the central look at what is stored."
  },
  OVERLOADED: {
    answer: "rejection",
    retryable: true,
    meaning: "The central has no room for the chunk at the moment.",
    action: "Send it again after `retry_after_ms`."
  },
  LEDGER_UNAVAILABLE: {
    answer: "rejection",
    retryable: true,
    meaning: "The chunk could not be put on disk and is not stored.",
    action: "Send it again after `retry_after_ms`."
  },
  PARSER_FAILED: {
    answer: "rejection",
    retryable: true,
    meaning: "Two parser processes in turn failed on the chunk; it is not stored.",
    action: "Send it again after `retry_after_ms`; if it stays, mend the client."
  },
  FRAME_TOO_LARGE: {
    answer: "error",
    retryable: false,
    meaning: "The frame's length is above the limit.",
    action: "Send smaller chunks."
  },
  FRAME_EMPTY: {
    answer: "error",
    retryable: false,
    meaning: "The frame's length is 0.",
    action: "Mend the client."
  },
  WRONG_PORT: {
    answer: "error",
    retryable: false,
    meaning: "The message belongs to the other port.",
    action: "Send bets to the bets port and consults to the consult port."
  },
  TIMEOUT: {
    answer: "error",
    retryable: false,
    meaning: "A frame was begun and not ended in time.",
    action: "Connect again; RESUME tells where to go on."
  },
  TOO_MANY_CONNECTIONS: {
    answer: "error",
    retryable: false,
    meaning: "The central holds as many connections as it may.",
    action: "Connect again later, with backoff."
  }
} as const satisfies Record<string, CodeMeaning>

export type Code = keyof typeof codes

type CodesAnsweredAs<Answer extends CodeMeaning["answer"]> = {
  [C in Code]: (typeof codes)[C]["answer"] extends Answer | "both" ? C : never
}[Code]

export type RejectionCode = CodesAnsweredAs<"rejection">
export type ErrorCode = CodesAnsweredAs<"error">

/** A chunk refused: what CHUNK_REJECTED carries. */
export interface Rejection {
  readonly code: RejectionCode
  /** For people; holds no personal data. */
  readonly message: string
  readonly index?: number
  readonly expectedSeq?: number
  readonly retryAfterMs?: number
}
