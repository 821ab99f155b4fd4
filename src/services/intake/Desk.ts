/**
 * A desk belongs to one agency. It knows what is stored for the agency, which session speaks for it, and whether one of
 * its messages is in hand. One session speaks for an agency. A newer session takes over with its first message, but is
 * heard only when the message in hand is finished: a chunk is finished when it is stored or has failed. From then on no
 * older session is heard, even when the newer one is gone, because the newer one may know what is stored.
 *
 * What is known of the agency is good under a claim only. A session's first message takes a new one, because another
 * server may have served the agency meanwhile.
 */
import type { AgencyId } from "../../domain/Agency.ts"
import type { Parsed } from "../../domain/Chunk.ts"
import type { Claim, Epoch } from "../../domain/Claim.ts"
import { invariant } from "../../domain/Invariant.ts"
import { nothingStored, type Standing, standingAfter } from "../../domain/Standing.ts"
import type { Session } from "./Session.ts"
import type { Turn } from "./Turn.ts"

export class Desk {
  readonly agency: AgencyId
  /** What is on disk, as far as this server knows; with a claim it is everything. */
  #standing: Standing = nothingStored
  #epoch: Epoch | undefined
  #speaker: Session | undefined
  /** The arrival of the newest session that was heard. */
  #arrival = 0
  #busy = false
  /** The turn of a newer session, which waits until the desk is free. */
  #waiting: Turn | undefined

  constructor(agency: AgencyId) {
    this.agency = agency
  }

  get standing(): Standing {
    return this.#standing
  }

  /** The claim's epoch; undefined while the agency is to be claimed. */
  get epoch(): Epoch | undefined {
    return this.#epoch
  }

  /** Takes a claim. False if it tells of less than was stored here: then the ledger has lost something. */
  take({ epoch, ...standing }: Claim): boolean {
    const { bets, finished, seq } = this.#standing
    if (standing.seq < seq || standing.bets < bets || (finished && !standing.finished)) return false
    this.#standing = standing
    this.#epoch = epoch
    return true
  }

  /** A chunk that was decided on at this desk is on disk. */
  settle(stored: { readonly seq: number; readonly bets: number; readonly last: boolean }): void {
    this.#standing = standingAfter(this.#standing, stored)
  }

  /** The claim isn't good any more, and the session that speaks has to make way. */
  dropClaim(reason: "superseded" | "in_doubt"): void {
    this.#epoch = undefined
    this.#speaker?.connection.close(reason)
  }

  /** Another server has claimed the agency. A chunk in hand finds out by itself whether it came before. */
  claimedElsewhere(epoch: Epoch): void {
    if (this.#epoch !== undefined && this.#epoch < epoch && !this.#busy) {
      this.dropClaim("superseded")
    }
  }

  /**
   * A turn has a message for this agency. `heard`: the message is in hand now, and {@link leave} must follow. `waits`:
   * the turn waits here, and {@link leave} gives its replacement. `superseded`: a newer session has taken over.
   */
  enter(turn: Turn, message: Parsed): "heard" | "waits" | "superseded" {
    const { session } = turn
    if (this.#arrival > session.arrival) return supersede(session)
    if (this.#busy) return this.#wait(turn, message)
    if (this.#speaker !== session) {
      if (this.#speaker !== undefined) supersede(this.#speaker)
      this.#speaker = session
      this.#arrival = session.arrival
      this.#epoch = undefined
    }
    this.#busy = true
    return "heard"
  }

  #wait(turn: Turn, message: Parsed): "waits" | "superseded" {
    const waiting = this.#waiting
    if (waiting !== undefined && waiting.session.arrival > turn.session.arrival) {
      return supersede(turn.session)
    }
    this.#waiting = turn.again(message)
    if (waiting !== undefined) {
      supersede(waiting.session)
      waiting.end()
    }
    return "waits"
  }

  /** The message in hand is finished. Gives the turn that waited, if there is one. */
  leave(): Turn | undefined {
    invariant(this.#busy, "a desk that was entered is left once")
    this.#busy = false
    const waiting = this.#waiting
    this.#waiting = undefined
    return waiting
  }

  /** The session has ended. */
  forget(session: Session): void {
    if (this.#speaker === session) this.#speaker = undefined
  }
}

const supersede = (session: Session): "superseded" => {
  session.connection.close("superseded")
  return "superseded"
}

/** The desks of a roster, made as they are needed. */
export class Desks {
  readonly #desks = new Map<AgencyId, Desk>()

  of(agency: AgencyId): Desk {
    const known = this.#desks.get(agency)
    if (known !== undefined) return known
    const desk = new Desk(agency)
    this.#desks.set(agency, desk)
    return desk
  }

  /** The desk, if the agency has had a message here. */
  find(agency: AgencyId): Desk | undefined {
    return this.#desks.get(agency)
  }
}
