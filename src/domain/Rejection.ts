/**
 * The codes with which messages are refused. Codes are never changed or reused. A test compares them with the table in
 * docs/PROTOCOL.md. No Effect here: the parser child imports this file.
 */

export interface CodeMeaning {
  /** `rejection`: CHUNK_REJECTED. `error`: ERROR, then the connection is closed. */
  readonly answer: "rejection" | "error" | "both"
  /** Whether the same message can succeed later; sent with `retry_after_ms`, and only to clients that send `seq`. */
  readonly retryable: boolean
  readonly meaning: string
  readonly action: string
}

export const codes = {
  INVALID_MESSAGE: {
    answer: "both",
    retryable: false,
    meaning: "The frame is not UTF-8, not JSON, or not a message of this port.",
    action: "Fix the client."
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
    action: "Check the agency's id, or ask the central to add it."
  },
  AGENCY_MISMATCH: {
    answer: "rejection",
    retryable: false,
    meaning:
      "The connection speaks for the agency of its first message; this message is of another.",
    action: "Use one connection for each agency."
  },
  AGENCY_FINISHED: {
    answer: "rejection",
    retryable: false,
    meaning: "The agency's last chunk is stored; it can send no more bets in this draw.",
    action: "Ask for the winners; new bets belong to the next draw."
  },
  AGENCY_EXCLUDED: {
    answer: "rejection",
    retryable: false,
    meaning: "The central has excluded the agency from this draw.",
    action: "Ask the central."
  },
  SEQUENCE_GAP: {
    answer: "rejection",
    retryable: false,
    meaning: "Chunks before this one are missing; `expected_seq` is the next number.",
    action: "Continue at `expected_seq`, or send RESUME."
  },
  SEQUENCE_CONFLICT: {
    answer: "rejection",
    retryable: false,
    meaning: "A different chunk is stored under this `seq`.",
    action: "Send RESUME and compare the digest: the bet file has changed."
  },
  REPLAY_MISMATCH: {
    answer: "rejection",
    retryable: false,
    meaning: "Bets sent again from the top differ from the stored ones, or end before them.",
    action: "Send the same file as before, or ask the central to compare it with the stored bets."
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
    action: "Send it again after `retry_after_ms`; if it fails again, fix the client."
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
    action: "Fix the client."
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
    meaning: "A frame was not complete in time.",
    action: "Connect again; RESUME says where to continue."
  },
  TOO_MANY_CONNECTIONS: {
    answer: "error",
    retryable: false,
    meaning: "The central has as many connections as it allows.",
    action: "Connect again later, with backoff."
  }
} as const satisfies Record<string, CodeMeaning>

export type Code = keyof typeof codes

type CodesAnsweredAs<Answer extends CodeMeaning["answer"]> = {
  [C in Code]: (typeof codes)[C]["answer"] extends Answer | "both" ? C : never
}[Code]

export type RejectionCode = CodesAnsweredAs<"rejection">
export type ErrorCode = CodesAnsweredAs<"error">

/** The refusal of a chunk, as CHUNK_REJECTED carries it. */
export interface Rejection {
  readonly code: RejectionCode
  /** For people; contains no personal data. */
  readonly message: string
  readonly index?: number
  readonly expectedSeq?: number
  readonly retryAfterMs?: number
}
