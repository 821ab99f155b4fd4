/**
 * A session is the conversation on one connection: which agency speaks, and what its client has shown of itself. A
 * session carries out verdicts: every answer and every refusal on both ports goes through {@link Session.carryOut}.
 */
import type { AgencyId } from "../../domain/Agency.ts"
import type { CloseReason } from "../../domain/CloseReason.ts"
import { encodeAnswer } from "../../domain/Message.ts"
import { type Replay, replayOver, replayUnknown } from "../../domain/ReplayRule.ts"
import { type PutOff, putOff, type Refused, type Verdict } from "../../domain/Verdict.ts"
import type { Endable } from "../base/Keeper.ts"
import type { Details } from "../base/OperatorLog.ts"
import {
  Connection,
  type ConnectionContext,
  type ConnectionOwner,
  type Transport
} from "./Connection.ts"

/** What the sessions of all connections share. */
export interface SessionContext {
  /** When a frame that found no room may come again: after as long as it waited for room. */
  readonly roomWaitMs: number
  /** Numbers the first frames of all connections, from 1. */
  readonly nextArrival: () => number
  readonly onFrame: (session: Session, frame: Uint8Array) => void
  readonly onRefused: (session: Session, refused: Refused) => void
  readonly onClosed: (session: Session, reason: CloseReason) => void
}

export class Session implements ConnectionOwner, Endable {
  readonly connection: Connection
  readonly #context: SessionContext
  #agency: AgencyId | undefined
  #arrival = 0
  #numbered = false
  #refusedUnread = false
  /** How far the client has repeated what is stored. It moves only when a chunk is on disk. */
  replay: Replay = replayUnknown

  constructor(context: SessionContext, connection: ConnectionContext, transport: Transport) {
    this.#context = context
    this.connection = new Connection(connection, transport, this)
  }

  /** The agency that the connection speaks for, from its first valid message on. */
  get agency(): AgencyId | undefined {
    return this.#agency
  }

  /**
   * The place of its first frame among the first frames of all connections; 0 before. It tells which session of an
   * agency is the newer one, in whatever order the parsers finish their frames.
   */
  get arrival(): number {
    return this.#arrival
  }

  /** Whether the client's last chunk had a `seq`. Only such a client can be told to send something again later. */
  get tellable(): boolean {
    return this.#numbered
  }

  get speaks(): Details {
    return this.#agency === undefined ? {} : { agencia: this.#agency }
  }

  get described(): Details {
    return this.connection.described
  }

  endByDefect(): void {
    this.connection.endByDefect()
  }

  // ---- what the client shows of itself

  bind(agency: AgencyId): void {
    this.#agency = agency
  }

  /**
   * A chunk arrived. Gives whether it may be decided on: a chunk without `seq` could take the place of a frame that was
   * refused unread since the last RESUME.
   */
  chunkArrived(seq: number | undefined): boolean {
    this.#numbered = seq !== undefined
    return this.#numbered || !this.#refusedUnread
  }

  /** The client was told what is stored, and continues behind that. */
  resumed(): void {
    this.replay = replayOver
    this.#refusedUnread = false
  }

  // ---- verdicts

  carryOut({ answer, close, refused }: Verdict): void {
    if (refused !== undefined) this.#context.onRefused(this, refused)
    if (answer !== undefined) this.connection.answer(encodeAnswer(answer))
    if (close !== undefined) this.connection.close(close)
  }

  /** Puts off a message that was parsed: RESUME, or a chunk with or without `seq`. */
  putOff(message: "RESUME" | { readonly seq: number | undefined }, why: PutOff): void {
    if (this.connection.closing) return
    const seq = message === "RESUME" ? undefined : message.seq
    this.carryOut(putOff(message === "RESUME" || seq !== undefined, seq, why))
  }

  /** Puts off a frame that wasn't parsed, and may be a chunk. */
  putOffUnread(why: PutOff): void {
    if (this.connection.closing) return
    if (this.#numbered) this.#refusedUnread = true
    this.carryOut(putOff(this.#numbered, undefined, why))
  }

  // ---- called by its connection

  onFrame(frame: Uint8Array): void {
    if (this.#arrival === 0) this.#arrival = this.#context.nextArrival()
    this.#context.onFrame(this, frame)
  }

  onFrameDropped(): void {
    this.putOffUnread({
      code: "OVERLOADED",
      message: "there is no room for the message at the moment",
      retryAfterMs: this.#context.roomWaitMs
    })
  }

  onClosed(reason: CloseReason): void {
    this.#context.onClosed(this, reason)
  }
}
