/**
 * Who speaks on a connection, and what that peer has shown of itself. A session carries out what was decided on it:
 * every answer and every refusal on either port goes through {@link Session.carryOut}.
 */
import type { AgencyId } from "../../domain/Agency.ts"
import type { CloseReason } from "../../domain/CloseReason.ts"
import { type Replay, replayOver, replayUnknown } from "../../domain/Intake.ts"
import { encodeAnswer } from "../../domain/Message.ts"
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
  /** After this time a frame that found no room may come again: another has waited as long in vain. */
  readonly roomWaitMs: number
  /** The place of a first frame among those of all connections, from 1. */
  readonly nextClaim: () => number
  readonly onFrame: (session: Session, frame: Uint8Array) => void
  readonly onRefused: (session: Session, refused: Refused) => void
  readonly onClosed: (session: Session, reason: CloseReason) => void
}

export class Session implements ConnectionOwner, Endable {
  readonly connection: Connection
  readonly #context: SessionContext
  #agency: AgencyId | undefined
  #claim = 0
  #numbered = false
  #refusedUnread = false
  /** How far the client has repeated what is stored; only what is on disk moves it. */
  replay: Replay = replayUnknown

  constructor(context: SessionContext, connection: ConnectionContext, transport: Transport) {
    this.#context = context
    this.connection = new Connection(connection, transport, this)
  }

  /** The agency that the connection speaks for, from its first message on. */
  get agency(): AgencyId | undefined {
    return this.#agency
  }

  /**
   * The place of its first whole frame among those of all connections; 0 before. By it the sessions of an agency are
   * older and newer, in whatever order their frames come out of the parsers.
   */
  get claim(): number {
    return this.#claim
  }

  /** Whether the client's last chunk carried `seq`: only such a client can be told to send something again later. */
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
   * A chunk came. Gives whether it may be judged: a chunk without `seq` could take the place of a frame that was refused
   * unread since the last RESUME.
   */
  chunkCame(seq: number | undefined): boolean {
    this.#numbered = seq !== undefined
    return this.#numbered || !this.#refusedUnread
  }

  /** It was told what is stored, and goes on behind that. */
  resumed(): void {
    this.replay = replayOver
    this.#refusedUnread = false
  }

  // ---- what is decided on it

  carryOut({ answer, close, refused }: Verdict): void {
    if (refused !== undefined) this.#context.onRefused(this, refused)
    if (answer !== undefined) this.connection.answer(encodeAnswer(answer))
    if (close !== undefined) this.connection.close(close)
  }

  /** Puts off a message that was read: RESUME, or a chunk with or without `seq`. */
  putOff(message: "RESUME" | { readonly seq: number | undefined }, why: PutOff): void {
    if (this.connection.closing) return
    const seq = message === "RESUME" ? undefined : message.seq
    this.carryOut(putOff(message === "RESUME" || seq !== undefined, seq, why))
  }

  /** Puts off a frame that wasn't read, and may be a chunk. */
  putOffUnread(why: PutOff): void {
    if (this.connection.closing) return
    if (this.#numbered) this.#refusedUnread = true
    this.carryOut(putOff(this.#numbered, undefined, why))
  }

  // ---- calls of its connection

  onFrame(frame: Uint8Array): void {
    if (this.#claim === 0) this.#claim = this.#context.nextClaim()
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
