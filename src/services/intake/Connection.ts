/**
 * One connection on either port: its bytes, its frames, and its close. A connection reads until a frame is complete,
 * passes the frame to its owner, and takes no other frame until the owner ends the turn. So it has one frame in hand, and
 * its answers keep their order. If more input arrives during the turn, the connection stops reading.
 *
 * A close is: the answer, FIN, discard input until the peer's FIN or for a while, then destroy. To close with unread
 * input would send RST, and the peer could lose the answer.
 *
 * A connection is driven by calls (bytes came, the peer's FIN came, …) and drives a {@link Transport}. It has no fiber
 * and no timer of its own, so thousands of idle connections cost only their sockets. Its owner (Session.ts) knows which
 * agency speaks, and what is answered.
 */
import type { CloseReason } from "../../domain/CloseReason.ts"
import { FrameDecoder } from "../../domain/Frame.ts"
import { invariant } from "../../domain/Invariant.ts"
import { frameEmpty, frameLate, frameTooLarge, type Verdict } from "../../domain/Verdict.ts"
import type { Endable, Root, RootKeeper } from "../base/Keeper.ts"
import type { Details } from "../base/OperatorLog.ts"
import type { Sent } from "../draw/Told.ts"
import type { FrameBudget } from "./FrameBudget.ts"
import type { SharedDeadline } from "./SharedDeadline.ts"

export type Door = "bets" | "consult"

/** A socket, as a connection uses it. */
export interface Transport {
  readonly address: string
  readonly port: number
  /** Bytes that are written, and that the network hasn't taken yet. */
  readonly unsent: number
  readonly write: (bytes: Uint8Array) => void
  /** Stops reading. Like `resume`, a second call has no effect. */
  readonly pause: () => void
  readonly resume: () => void
  /** Calls back when everything is sent. */
  readonly whenSent: (callback: () => void) => void
  /** Sends FIN after the written bytes. Calls back when the network has it. */
  readonly finish: (callback: () => void) => void
  readonly destroy: () => void
}

/** The part that a connection reports to. */
export interface ConnectionOwner {
  /** The agency that speaks, as the log shows it. */
  readonly speaks: Details
  /** Whether the client can be told to send a frame again later. */
  readonly tellable: boolean
  /** A complete frame. The next one comes after {@link Connection.endTurn}. */
  readonly onFrame: (frame: Uint8Array) => void
  /** An announced frame found no room in time. The connection drops it as it arrives. */
  readonly onFrameDropped: () => void
  /** Carries out a verdict on the connection's own bounds. */
  readonly carryOut: (verdict: Verdict) => void
  /** The last call. */
  readonly onClosed: (reason: CloseReason) => void
}

/** Shared by the connections of a door. */
export interface ConnectionContext {
  readonly door: Door
  readonly frameBytesMax: number
  readonly budget: FrameBudget
  readonly keeper: RootKeeper
  readonly deadlines: {
    /** For a peer in the middle of a frame. */
    readonly frame: SharedDeadline<Connection>
    /** For a peer that has answers to read. */
    readonly answers: SharedDeadline<Connection>
    /** For room for an announced frame. */
    readonly room: SharedDeadline<Connection>
    /** For the peer's FIN after ours. */
    readonly linger: SharedDeadline<Connection>
  }
}

/** Our FIN is written; `finished` once the network has it. */
interface Closing {
  readonly _tag: "Closing"
  readonly reason: CloseReason
  finished: boolean
}

type Unread =
  /** Reads until a frame is complete. */
  | { readonly _tag: "Reading" }
  /** Reads and drops the rest of a frame that found no room. */
  | { readonly _tag: "Dropping" }

type State =
  | Unread
  /** In line for the memory of the announced frame. */
  | { readonly _tag: "AwaitingRoom" }
  /** The peer gets no turn until it has read its answers; then the connection is in state `next`. */
  | { readonly _tag: "AwaitingReader"; readonly next: Unread }
  /** The owner has a frame. */
  | { readonly _tag: "InTurn" }
  /** The connection stays open, and discards its input. */
  | { readonly _tag: "Muted" }
  | Closing
  /** The socket is gone. */
  | { readonly _tag: "Gone"; readonly reason: CloseReason }
  /** The owner has been told. */
  | { readonly _tag: "Ended" }

const reading: Unread = { _tag: "Reading" }
const dropping: Unread = { _tag: "Dropping" }
const awaitingRoom: State = { _tag: "AwaitingRoom" }
const inTurn: State = { _tag: "InTurn" }
const muted: State = { _tag: "Muted" }
const ended: State = { _tag: "Ended" }

export class Connection implements Endable {
  readonly transport: Transport
  readonly #context: ConnectionContext
  readonly #owner: ConnectionOwner
  readonly #decoder = new FrameDecoder()
  #state: State = reading
  /** Whether the owner has a frame; it may, too, while the connection closes or when it is gone. */
  #ownerHasFrame = false
  /** The bytes of the frame budget that the current frame holds. */
  #reserved = 0
  /** The state's deadline; a connection has one at a time. */
  #deadline: SharedDeadline<Connection> | undefined
  #peerEnded = false
  #draining = false
  #delivery: Sent["delivery"] = "broken"

  constructor(context: ConnectionContext, transport: Transport, owner: ConnectionOwner) {
    this.#context = context
    this.transport = transport
    this.#owner = owner
  }

  get door(): Door {
    return this.#context.door
  }

  /** Whether the connection takes no more answers: it is closing, or gone. */
  get closing(): boolean {
    return this.#state._tag === "Closing" || this.#isGone
  }

  get #isGone(): boolean {
    return this.#state._tag === "Gone" || this.#state._tag === "Ended"
  }

  /** Whether the peer has the last answer; known once the connection has ended. */
  get delivery(): Sent["delivery"] {
    return this.#delivery
  }

  get described(): Details {
    return { door: this.door, ip: this.transport.address, ...this.#owner.speaks }
  }

  // ---- events

  onBytes(bytes: Uint8Array): void {
    switch (this.#state._tag) {
      case "Reading":
      case "Dropping":
        this.#decoder.push(bytes)
        return this.#advance(this.#state)
      case "InTurn":
      case "AwaitingRoom":
      case "AwaitingReader":
        this.#decoder.push(bytes)
        return this.transport.pause()
      case "Muted":
      case "Closing":
      case "Gone":
      case "Ended":
        return
    }
  }

  /** The peer's FIN. On the bets port its complete frames still get their answers. */
  onPeerEnd(): void {
    this.#peerEnded = true
    const state = this.#state
    if (state._tag === "Closing") {
      if (state.finished) this.#delivery = "confirmed"
      if (this.transport.unsent === 0) this.destroy()
    } else if (this.door === "consult") this.close("peer_left")
    else this.#advanceIfReading()
  }

  /** The socket is gone, whichever side closed it. */
  onGone(): void {
    if (!this.#isGone) this.#leave(this.#peerEnded ? "peer_left" : "connection_lost")
  }

  /** A defect broke off some work for it. The part that has its turn, if there is one, ends the turn. */
  endByDefect(): void {
    try {
      this.close("defect")
    } catch {
      // The cause is logged already.
      this.destroy()
    }
  }

  /** Completes {@link onGone} after a defect. */
  endGone(): void {
    if (this.#isGone) this.#endUnlessInTurn()
    else this.#leave("defect")
  }

  onFrameDeadline(): void {
    this.#owner.carryOut(frameLate)
  }

  /**
   * The announced frame found no room in time. Its body is on its way in any case, so it is read and dropped. That needs
   * no room, and has the deadline of any other frame.
   */
  onRoomDeadline(): void {
    if (this.#state._tag !== "AwaitingRoom") return
    this.#decoder.skip()
    this.#enter(dropping)
    this.#owner.onFrameDropped()
    this.#advanceIfReading()
  }

  /** The peer doesn't read its answers. */
  onAnswerDeadline(): void {
    this.cutOff("answers_unread")
  }

  /** The peer was sent FIN, and doesn't close its side. */
  onLingerDeadline(): void {
    this.cutOff("connection_lost")
  }

  // ---- commands

  answer(frame: Uint8Array): void {
    if (!this.closing) this.transport.write(frame)
  }

  /** Ends the owner's turn. With `mute`, all further input is discarded. */
  endTurn(mute = false): void {
    invariant(this.#ownerHasFrame, "a turn that ends was begun")
    this.#ownerHasFrame = false
    if (this.#isGone) return this.#endUnlessInTurn()
    this.#releaseRoom()
    if (this.#state._tag !== "InTurn") return
    this.#state = mute ? muted : reading
    if (mute) this.transport.resume()
    else this.#advance(reading)
  }

  close(reason: CloseReason): void {
    if (this.closing) return
    const closing: Closing = { _tag: "Closing", reason, finished: false }
    this.#enter(closing, this.#context.deadlines.answers)
    if (!this.#ownerHasFrame) this.#releaseRoom()
    this.transport.finish(this.#kept("connection finished", () => {
      if (this.#state !== closing) return
      closing.finished = true
      if (this.#peerEnded) this.destroy()
      else this.#setDeadline(this.#context.deadlines.linger)
    }))
    this.transport.resume()
  }

  /** Shutdown on the bets port: complete frames still get their turns, a partial one is dropped, then it closes. */
  drain(): void {
    this.#draining = true
    this.#advanceIfReading()
  }

  /** Restarts the wait for the peer's FIN, with the linger deadline that is in force now. */
  lingerAnew(): void {
    if (this.#state._tag === "Closing" && this.#state.finished) {
      this.#setDeadline(this.#context.deadlines.linger)
    }
  }

  /** Destroys it without a close. If it is closing already, its reason stays. */
  cutOff(reason: CloseReason): void {
    const state = this.#state
    if (!this.closing) this.#enter({ _tag: "Closing", reason, finished: false })
    else if (state._tag === "Closing" && state.finished) this.#delivery = "unconfirmed"
    this.destroy()
  }

  destroy(): void {
    this.transport.destroy()
  }

  // ---- frames

  #advanceIfReading(): void {
    const state = this.#state
    if (state._tag === "Reading" || state._tag === "Dropping") this.#advance(state)
  }

  #advance(state: Unread): void {
    if (this.transport.unsent > 0) return this.#awaitReader(state)
    for (;;) {
      const step = this.#decoder.next()
      if (step._tag === "Starved") return this.#starve()
      if (step._tag === "Frame") return this.#handOver(step.body)
      if (!this.#admit(step.bytes)) return
    }
  }

  #awaitReader(next: Unread): void {
    this.#enter({ _tag: "AwaitingReader", next }, this.#context.deadlines.answers)
    this.transport.pause()
    this.transport.whenSent(this.#kept("answers sent", () => {
      if (this.#state._tag !== "AwaitingReader") return
      this.#enter(next)
      this.#advance(next)
    }))
  }

  #starve(): void {
    if (this.#draining) return this.close("shutdown")
    if (this.#peerEnded) return this.close("peer_left")
    if (this.#decoder.midFrame) this.#setDeadline(this.#context.deadlines.frame)
    else this.#endDropping()
    this.transport.resume()
  }

  /** The dropped frame is over: the next one has a deadline of its own. */
  #endDropping(): void {
    if (this.#state._tag === "Dropping") this.#enter(reading)
  }

  #handOver(frame: Uint8Array): void {
    this.#enter(inTurn)
    // Input that was sent ahead waits unread. Most peers wait for their answer, and a pause costs more than a read.
    if (this.#decoder.hasInput) this.transport.pause()
    this.#ownerHasFrame = true
    this.#owner.onFrame(frame)
  }

  /** Reserves room for an announced frame before its body is read. */
  #admit(bytes: number): boolean {
    this.#endDropping()
    invariant(this.#reserved === 0, "a connection holds room for one frame")
    const { budget, deadlines, frameBytesMax } = this.#context
    if (bytes === 0 || bytes > frameBytesMax) {
      this.#owner.carryOut(bytes === 0 ? frameEmpty : frameTooLarge(bytes, frameBytesMax))
      return false
    }
    if (budget.reserve(this, bytes, this.#onRoom)) {
      this.#reserved = bytes
      this.#decoder.accept()
      return true
    }
    // The frame deadline stops: this delay is ours, not the peer's.
    this.#enter(awaitingRoom, this.#owner.tellable ? deadlines.room : undefined)
    this.transport.pause()
    return false
  }

  /** Runs inside another connection's release of room, and must not let a defect reach it. */
  readonly #onRoom = (bytes: number): void => {
    this.#reserved = bytes
    this.#kept("room for a frame", () => {
      this.#enter(reading)
      this.#decoder.accept()
      this.#advance(reading)
    })()
  }

  // ---- its end

  #leave(reason: CloseReason): void {
    const gone = this.#state._tag === "Closing" ? this.#state.reason : reason
    this.#enter({ _tag: "Gone", reason: gone })
    this.#endUnlessInTurn()
  }

  /** The connection counts until its turn is over, because the queue has room for one turn of each connection. */
  #endUnlessInTurn(): void {
    const state = this.#state
    if (state._tag !== "Gone" || this.#ownerHasFrame) return
    this.#state = ended
    this.#releaseRoom()
    this.#owner.onClosed(state.reason)
  }

  #releaseRoom(): void {
    const bytes = this.#reserved
    this.#reserved = 0
    if (bytes > 0) this.#context.budget.release(bytes)
  }

  /** Changes the state and its deadline. If the new state has the same deadline, its time goes on. */
  #enter(state: State, deadline?: SharedDeadline<Connection>): void {
    const left = this.#state
    this.#state = state
    if (left._tag === "AwaitingRoom") this.#context.budget.cancel(this)
    this.#setDeadline(deadline)
  }

  #setDeadline(deadline: SharedDeadline<Connection> | undefined): void {
    if (this.#deadline !== deadline) this.#deadline?.end(this)
    this.#deadline = deadline
    deadline?.begin(this)
  }

  #kept(root: Root<"connection">, body: () => void): () => void {
    return this.#context.keeper.forConnection(root, this, body)
  }
}
