/**
 * One connection of an agency, on either port: its frames, its turn, and its end. It reads until a whole frame is there,
 * asks for a turn, and takes no further frame until the turn is over: so one connection has one chunk in hand, is in the
 * queue at most once, and its answers keep their order. If more comes meanwhile, it stops reading.
 *
 * Whoever closes does so as: answer, FIN, discard input until the peer's FIN or for a while, then destroy. Closing with
 * unread input would send RST and swallow the answer.
 *
 * It is driven by calls (bytes came, the peer's FIN came, …) and drives a {@link Transport}; it holds no fiber and no
 * timer of its own: thousands of idle connections cost their sockets.
 */
import type { AgencyId } from "../../domain/Agency.ts"
import type { Parsed } from "../../domain/Chunk.ts"
import type { CloseReason } from "../../domain/CloseReason.ts"
import { FrameDecoder } from "../../domain/Frame.ts"
import { type Replay, replayUnknown } from "../../domain/Intake.ts"
import { encodeAnswer } from "../../domain/Message.ts"
import type { ErrorCode } from "../../domain/Rejection.ts"
import type { Endable, Root, RootKeeper } from "../base/Keeper.ts"
import type { Details } from "../base/OperatorLog.ts"
import type { Sent } from "../draw/Told.ts"
import type { DeadlineQueue } from "./DeadlineQueue.ts"
import type { FrameBudget } from "./FrameBudget.ts"
import type { Refused } from "./Refusals.ts"

export type Door = "bets" | "consult"

/** What a connection needs of a socket. */
export interface Transport {
  readonly address: string
  readonly port: number
  /** Bytes written and not yet taken by the network. */
  readonly unsent: number
  readonly write: (bytes: Uint8Array) => void
  readonly pause: () => void
  readonly resume: () => void
  /** Calls back when nothing is unsent any more. */
  readonly whenSent: (callback: () => void) => void
  /** FIN, after what was written; calls back when it was handed to the network. */
  readonly finish: (callback: () => void) => void
  readonly destroy: () => void
}

/** What a connection needs of those it lives among. Shared by all connections of a door. */
export interface ConnectionContext {
  readonly door: Door
  readonly frameBytesMax: number
  readonly budget: FrameBudget
  /** Peers in the middle of a frame. */
  readonly frameDeadlines: DeadlineQueue<Connection>
  /** Peers that have answers to read. */
  readonly answerDeadlines: DeadlineQueue<Connection>
  /** Peers that were sent FIN. */
  readonly lingerDeadlines: DeadlineQueue<Connection>
  /** Peers that count and whose frame finds no room. */
  readonly roomDeadlines: DeadlineQueue<Connection>
  readonly roomWaitMs: number
  readonly keeper: RootKeeper
  /** The connection holds a whole frame. Called at most once until its turn is over. */
  readonly onTurn: (connection: Connection) => void
  readonly onRefused: (connection: Connection, refused: Refused) => void
  readonly onClosed: (connection: Connection, reason: CloseReason) => void
}

export class Connection implements Endable {
  readonly door: Door
  readonly transport: Transport
  /** The agency that the connection speaks for, from its first message on. */
  agency: AgencyId | undefined
  replay: Replay = replayUnknown
  /** Whether its last chunk carried `seq`: such a client is told refusals that waiting can cure, of unread frames too. */
  counts = false
  /** Whether a frame was refused unread since the last RESUME: a chunk without `seq` could take its place. */
  unreadRefused = false
  /**
   * The place of its first whole frame among those of all connections, from 1; 0 before. By it connections of an agency
   * are older and newer, in whatever order their frames come out of the parsers.
   */
  claim = 0
  /** What came of the frame, once parsed; kept while the turn waits for an older connection's chunk. */
  parsed: Parsed | undefined
  /** A consult that waits for the draw: its turn is over, further input is discarded. */
  waitingForDraw = false
  /** Whether its turn has been begun with: from then on, whoever deals with it ends the turn. */
  begun = false
  /** What became of the last answer, once the connection has ended. */
  delivery: Sent["delivery"] = "broken"

  readonly #context: ConnectionContext
  readonly #decoder = new FrameDecoder()
  #frame: Uint8Array | undefined
  #reserved = 0
  #waitingForRoom = false
  #waitingForReader = false
  #dropping = false
  #paused = false
  #inTurn = false
  #draining = false
  #peerEnded = false
  #finished = false
  #reason: CloseReason | undefined
  #destroyed = false
  #ended = false

  constructor(context: ConnectionContext, transport: Transport) {
    this.door = context.door
    this.#context = context
    this.transport = transport
  }

  /** Whether no answer is wanted any more: it was closed or is being closed. */
  get closing(): boolean {
    return this.#reason !== undefined
  }

  get described(): Details {
    return {
      door: this.door,
      ip: this.transport.address,
      ...(this.agency === undefined ? {} : { agencia: this.agency })
    }
  }

  /** The frame whose turn it is. */
  get frame(): Uint8Array {
    return this.#frame ?? new Uint8Array(0)
  }

  // ---- what happens to it

  onBytes(bytes: Uint8Array): void {
    if (this.closing || this.waitingForDraw) return
    this.#decoder.push(bytes)
    if (this.#inTurn || this.#waitingForRoom) this.#pause()
    else this.#advance()
  }

  /** The peer's FIN. On the bets port its whole frames still get their answers. */
  onPeerEnd(): void {
    this.#peerEnded = true
    if (this.#finished) this.delivery = "confirmed"
    if (this.closing) {
      if (this.transport.unsent === 0) this.destroy()
    } else if (this.door === "consult") this.close("peer_left")
    else if (!this.#inTurn && !this.#waitingForRoom) this.#advance()
  }

  /** The peer was sent FIN, and doesn't close its side. */
  onLingerDeadline(): void {
    if (this.#finished) this.delivery = "unconfirmed"
    this.destroy()
  }

  onAnswerDeadline(): void {
    this.#reason ??= "answers_unread"
    this.destroy()
  }

  /** The socket is gone, whoever closed it. */
  onGone(): void {
    if (this.#destroyed) return
    this.#destroyed = true
    this.#reason ??= this.#peerEnded ? "peer_left" : "connection_lost"
    this.#context.frameDeadlines.end(this)
    this.#context.answerDeadlines.end(this)
    this.#context.lingerDeadlines.end(this)
    if (!this.#inTurn) this.#end()
  }

  /** A defect of ours broke off what was done with it. Its turn, if it has one, is ended by whoever has it. */
  endByDefect(): void {
    try {
      this.close("defect")
    } catch {
      // What was to be logged is: closing it properly is what can't be done.
      this.destroy()
    }
  }

  /** As {@link onGone}, which a defect broke off. */
  endGone(): void {
    this.#destroyed = true
    this.#reason ??= "defect"
    if (!this.#inTurn) this.#end()
  }

  /**
   * No room was found in time for the announced frame: a client that counts is told when to send it again. Its body,
   * which is under way in any case, is read and dropped; that takes no room, and must end as any frame must. How long
   * the line is can't be told, but it was longer than this wait: that is the time after which to come again. A client
   * that doesn't count would go on with its next chunk, so it waits.
   */
  onRoomDeadline(): void {
    if (!this.#waitingForRoom) return
    this.#leaveLine()
    this.#decoder.skip()
    this.#dropping = true
    this.unreadRefused = true
    this.#context.onRefused(this, { code: "OVERLOADED" })
    this.answer(encodeAnswer({
      _tag: "ChunkRejected",
      code: "OVERLOADED",
      message: "there is no room for the message at the moment",
      retryAfterMs: this.#context.roomWaitMs
    }))
    this.#advance()
  }

  onFrameDeadline(): void {
    this.refuse("TIMEOUT", "a frame was begun and not ended in time")
  }

  // ---- what is done with it

  answer(frame: Uint8Array): void {
    if (!this.closing) this.transport.write(frame)
  }

  /** The frame has been dealt with; the next one, if it is there already, asks for a turn. */
  endTurn(): void {
    this.#inTurn = false
    this.parsed = undefined
    if (this.#destroyed) return this.#end()
    this.#release()
    if (!this.closing) this.#advance()
  }

  /** It is counted until its turn is over too: the queue of turns is as large as the number of connections. */
  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#release()
    this.#context.onClosed(this, this.#reason ?? "connection_lost")
  }

  /** Answers ERROR and closes: the stream can't be trusted any more. */
  refuse(code: ErrorCode, message: string, about: Omit<Refused, "code"> = {}): void {
    if (!this.closing) this.#context.onRefused(this, { code, ...about })
    this.answer(encodeAnswer({ _tag: "ErrorAnswer", code, message }))
    this.close(code)
  }

  close(reason: CloseReason): void {
    if (this.closing) return
    this.#reason = reason
    this.#context.frameDeadlines.end(this)
    if (!this.#inTurn) this.#release()
    if (this.#destroyed) return
    this.#context.answerDeadlines.begin(this)
    this.transport.finish(this.#kept("connection finished", () => {
      this.#finished = true
      this.#context.answerDeadlines.end(this)
      if (this.#peerEnded) this.destroy()
      else if (!this.#destroyed) this.#context.lingerDeadlines.begin(this)
    }))
    this.#resume()
  }

  /** Shutdown: frames that were read are still dealt with, partial ones dropped, then it closes. */
  drain(): void {
    this.#draining = true
    if (!this.#inTurn && !this.#waitingForRoom && !this.closing) this.#advance()
  }

  destroy(): void {
    this.transport.destroy()
  }

  // ---- frames

  #pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.transport.pause()
  }

  #resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.transport.resume()
  }

  #advance(): void {
    if (this.waitingForDraw) return this.#resume()
    if (this.transport.unsent > 0) return this.#awaitReader()
    for (;;) {
      const step = this.#decoder.next()
      if (step._tag === "Starved") return this.#starve()
      if (step._tag === "Frame") return this.#askForTurn(step.body)
      if (!this.#admit(step.bytes)) return
    }
  }

  /** A peer that doesn't read its answers gets no further turn until it does. */
  #awaitReader(): void {
    if (this.#waitingForReader) return
    this.#waitingForReader = true
    this.#context.answerDeadlines.begin(this)
    this.#pause()
    this.transport.whenSent(this.#kept("answers sent", () => {
      this.#waitingForReader = false
      if (this.closing) return
      this.#context.answerDeadlines.end(this)
      if (!this.#inTurn && !this.#waitingForRoom) this.#advance()
    }))
  }

  #starve(): void {
    if (this.#draining) return this.close("shutdown")
    if (this.#peerEnded) return this.close("peer_left")
    if (this.#decoder.midFrame) this.#context.frameDeadlines.begin(this)
    else this.#endDropping()
    this.#resume()
  }

  /** A frame that was dropped is over: the next one has a deadline of its own. */
  #endDropping(): void {
    if (!this.#dropping) return
    this.#dropping = false
    this.#context.frameDeadlines.end(this)
  }

  #askForTurn(body: Uint8Array): void {
    this.#context.frameDeadlines.end(this)
    // Who sends ahead waits unread. Most don't: to pause for them would cost more than the turn's answer.
    if (this.#decoder.hasInput) this.#pause()
    this.#frame = body
    this.#inTurn = true
    this.begun = false
    this.#context.onTurn(this)
  }

  /** Reserves room for an announced frame before its body is read. */
  #admit(bytes: number): boolean {
    this.#endDropping()
    if (bytes === 0) {
      this.refuse("FRAME_EMPTY", "a frame's length is at least 1")
      return false
    }
    if (bytes > this.#context.frameBytesMax) {
      this.refuse(
        "FRAME_TOO_LARGE",
        `a frame's length is at most ${this.#context.frameBytesMax} bytes, not ${bytes}`,
        { bytes }
      )
      return false
    }
    const granted = this.#context.budget.reserve(this, bytes, this.#onRoom)
    if (granted) {
      this.#reserved = bytes
      this.#decoder.accept()
      return true
    }
    // Waiting for our room is not the peer's delay.
    this.#waitingForRoom = true
    this.#context.frameDeadlines.end(this)
    if (this.counts) this.#context.roomDeadlines.begin(this)
    this.#pause()
    return false
  }

  /** Called where another connection gives room back: a defect here is not that one's. */
  readonly #onRoom = (bytes: number): void => {
    this.#waitingForRoom = false
    this.#reserved = bytes
    this.#kept("room for a frame", () => {
      this.#context.roomDeadlines.end(this)
      this.#decoder.accept()
      this.#advance()
    })()
  }

  #leaveLine(): void {
    this.#waitingForRoom = false
    this.#context.roomDeadlines.end(this)
    this.#context.budget.cancel(this)
  }

  #kept(root: Root<"connection">, body: () => void): () => void {
    return this.#context.keeper.forConnection(root, this, body)
  }

  #release(): void {
    this.#frame = undefined
    if (this.#waitingForRoom) this.#leaveLine()
    const bytes = this.#reserved
    this.#reserved = 0
    if (bytes > 0) this.#context.budget.release(bytes)
  }
}
