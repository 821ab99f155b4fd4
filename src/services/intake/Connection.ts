/**
 * One connection on either port: its bytes, its frames, and the way it closes. It reads until a whole frame is there,
 * hands it to its owner, and takes no further frame until the turn of that frame is over. So one connection has one
 * frame in hand, and its answers keep their order. If more comes meanwhile, it stops reading.
 *
 * Closing is: answer, FIN, discard input until the peer's FIN or for a while, then destroy. Closing with unread input
 * would send RST and swallow the answer.
 *
 * It is driven by calls (bytes came, the peer's FIN came, …) and drives a {@link Transport}; it holds no fiber and no
 * timer of its own: thousands of idle connections cost their sockets. Who speaks, and what is answered, is its owner's
 * concern (Session.ts).
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

/** What a connection needs of a socket. */
export interface Transport {
  readonly address: string
  readonly port: number
  /** Bytes written and not yet taken by the network. */
  readonly unsent: number
  readonly write: (bytes: Uint8Array) => void
  /** Stops reading; like `resume`, may be called again to no effect. */
  readonly pause: () => void
  readonly resume: () => void
  /** Calls back when nothing is unsent any more. */
  readonly whenSent: (callback: () => void) => void
  /** FIN, after what was written; calls back when it was handed to the network. */
  readonly finish: (callback: () => void) => void
  readonly destroy: () => void
}

/** Whom a connection works for. */
export interface ConnectionOwner {
  /** What the log says of who speaks. */
  readonly speaks: Details
  /** Whether the client can be told to send a frame again later. */
  readonly tellable: boolean
  /** A whole frame. No other comes until {@link Connection.endTurn}. */
  readonly onFrame: (frame: Uint8Array) => void
  /** An announced frame found no room in time: it is dropped as it comes. */
  readonly onFrameDropped: () => void
  /** Carries out what the connection's own bounds call for. */
  readonly carryOut: (verdict: Verdict) => void
  /** The last call. */
  readonly onClosed: (reason: CloseReason) => void
}

/** What the connections of a door share. */
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

/** Our FIN is under way, or has been handed to the network. */
interface Closing {
  readonly _tag: "Closing"
  readonly reason: CloseReason
  finished: boolean
}

type Unread =
  /** Reads until a whole frame is there. */
  | { readonly _tag: "Reading" }
  /** Reads, and drops, the rest of a frame that found no room. */
  | { readonly _tag: "Dropping" }

type State =
  | Unread
  /** In line for the memory of the announced frame. */
  | { readonly _tag: "AwaitingRoom" }
  /** The peer gets no further turn until it has read its answers; `next` is how it is read from again. */
  | { readonly _tag: "AwaitingReader"; readonly next: Unread }
  /** The owner deals with a frame. */
  | { readonly _tag: "InTurn" }
  /** No frame is wanted any more, and the connection stays open: input is discarded. */
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
  /** The owner has a frame; also while the connection closes, or when it is gone. */
  #turn = false
  /** Room that is held for the frame that is read or dealt with. */
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

  /** Whether no answer is wanted any more: it was closed, is being closed, or is gone. */
  get closing(): boolean {
    return this.#state._tag === "Closing" || this.#isGone
  }

  get #isGone(): boolean {
    return this.#state._tag === "Gone" || this.#state._tag === "Ended"
  }

  /** What became of the last answer, once the connection has ended. */
  get delivery(): Sent["delivery"] {
    return this.#delivery
  }

  get described(): Details {
    return { door: this.door, ip: this.transport.address, ...this.#owner.speaks }
  }

  // ---- what happens to it

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

  /** The peer's FIN. On the bets port its whole frames still get their answers. */
  onPeerEnd(): void {
    this.#peerEnded = true
    const state = this.#state
    if (state._tag === "Closing") {
      if (state.finished) this.#delivery = "confirmed"
      if (this.transport.unsent === 0) this.destroy()
    } else if (this.door === "consult") this.close("peer_left")
    else this.#advanceIfReading()
  }

  /** The socket is gone, whoever closed it. */
  onGone(): void {
    if (!this.#isGone) this.#leave(this.#peerEnded ? "peer_left" : "connection_lost")
  }

  /** A defect of ours broke off what was done with it. Its turn, if it has one, is ended by whoever has it. */
  endByDefect(): void {
    try {
      this.close("defect")
    } catch {
      // The cause is logged already. What doesn't close properly is destroyed.
      this.destroy()
    }
  }

  /** As {@link onGone}, which a defect broke off. */
  endGone(): void {
    if (this.#isGone) this.#endUnlessInTurn()
    else this.#leave("defect")
  }

  onFrameDeadline(): void {
    this.#owner.carryOut(frameLate)
  }

  /**
   * No room was found in time for the announced frame. Its body, which is under way in any case, is read and dropped;
   * that takes no room, and must end as any frame must.
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

  // ---- what is done with it

  answer(frame: Uint8Array): void {
    if (!this.closing) this.transport.write(frame)
  }

  /** The owner has dealt with the frame. When `mute` is set, all that comes from now on is discarded. */
  endTurn(mute = false): void {
    invariant(this.#turn, "a turn that ends was begun")
    this.#turn = false
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
    if (!this.#turn) this.#releaseRoom()
    this.transport.finish(this.#kept("connection finished", () => {
      if (this.#state !== closing) return
      closing.finished = true
      if (this.#peerEnded) this.destroy()
      else this.#setDeadline(this.#context.deadlines.linger)
    }))
    this.transport.resume()
  }

  /** Shutdown on the bets port: whole frames are still dealt with, partial ones dropped, then it closes. */
  drain(): void {
    this.#draining = true
    this.#advanceIfReading()
  }

  /** The wait for the peer's FIN begins anew, at the linger deadline that is in force now. */
  lingerAnew(): void {
    if (this.#state._tag === "Closing" && this.#state.finished) {
      this.#setDeadline(this.#context.deadlines.linger)
    }
  }

  /** Ends it without a close. A reason for which it is closing already stays. */
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

  /** A frame that was dropped is over: the next one has a deadline of its own. */
  #endDropping(): void {
    if (this.#state._tag === "Dropping") this.#enter(reading)
  }

  #handOver(frame: Uint8Array): void {
    this.#enter(inTurn)
    // Input that was sent ahead waits unread. Most peers wait for their answer: to pause for them would cost more than it.
    if (this.#decoder.hasInput) this.transport.pause()
    this.#turn = true
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
    // Waiting for our room is not the peer's delay.
    this.#enter(awaitingRoom, this.#owner.tellable ? deadlines.room : undefined)
    this.transport.pause()
    return false
  }

  /** Called where another connection gives room back: a defect here is not that one's. */
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

  /** It is counted until its turn is over too: the queue of turns is as large as the number of connections. */
  #endUnlessInTurn(): void {
    const state = this.#state
    if (state._tag !== "Gone" || this.#turn) return
    this.#state = ended
    this.#releaseRoom()
    this.#owner.onClosed(state.reason)
  }

  #releaseRoom(): void {
    const bytes = this.#reserved
    this.#reserved = 0
    if (bytes > 0) this.#context.budget.release(bytes)
  }

  /** A state has one deadline, or none. That which runs already runs on. */
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
