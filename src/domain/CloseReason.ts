/** Why a connection ended: exactly one reason for each connection. */
import type { ErrorCode, RejectionCode } from "./Rejection.ts"

export type CloseReason =
  /** The answer to the agency's last chunk was given. */
  | "finished"
  /** A consult was answered: with the winners, or that they are not ready. */
  | "served"
  /** The peer closed its side. */
  | "peer_left"
  /** The connection broke, or the peer reset it. */
  | "connection_lost"
  /** A newer connection speaks for the agency, here or on another server. */
  | "superseded"
  /** The peer didn't read its answers in time. */
  | "answers_unread"
  /** The chunk couldn't be stored in time, and its client would misread a refusal. */
  | "unavailable"
  /** The answer to a commit was lost, so whether its chunk is stored isn't known. */
  | "in_doubt"
  | "shutdown"
  /** A bug of the central, which the log shows. */
  | "defect"
  /** A message was refused with this code. */
  | RejectionCode
  | ErrorCode
