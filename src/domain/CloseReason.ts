/** Why a connection ended. Every connection ends with exactly one. */
import type { ErrorCode, RejectionCode } from "./Rejection.ts"

export type CloseReason =
  /** The answer to the agency's last chunk was given. */
  | "finished"
  /** The winners, or that they are not ready, were told. */
  | "served"
  /** The peer closed its side. */
  | "peer_left"
  /** The connection broke, or the peer reset it. */
  | "connection_lost"
  /** A newer connection speaks for the agency. */
  | "superseded"
  /** The peer doesn't read its answers. */
  | "answers_unread"
  /** Waiting could not cure it in time, and the client would misread an answer. */
  | "unavailable"
  | "shutdown"
  /** Our bug; the log has it. */
  | "defect"
  /** Refused with that code. */
  | RejectionCode
  | ErrorCode
