/**
 * A desk belongs to one agency. It knows what is stored for the agency, which session speaks for it, and whether one of
 * its messages is in hand. One session speaks for an agency. A newer session takes over with its first message, but is
 * heard only when the message in hand is finished: a chunk is finished when it is stored or has failed. From then on no
 * older session is heard, even when the newer one is gone, because the newer one may know what is stored.
 */
import type { AgencyId } from "../../domain/Agency.ts"
import type { Parsed } from "../../domain/Chunk.ts"
import { invariant } from "../../domain/Invariant.ts"
import { nothingStored, type Standing } from "../../domain/Standing.ts"
import type { Session } from "./Session.ts"
import type { Turn } from "./Turn.ts"

export class Desk {
  readonly agency: AgencyId
  /** What is on disk. Only settling a chunk changes it. */
  standing: Standing
  #speaker: Session | undefined
  /** The claim of the newest session that was heard. */
  #claim = 0
  #busy = false
  /** The turn of a newer session, which waits until the desk is free. */
  #waiting: Turn | undefined

  constructor(agency: AgencyId, standing: Standing) {
    this.agency = agency
    this.standing = standing
  }

  /**
   * A turn has a message for this agency. `heard`: the message is in hand now, and {@link leave} must follow. `waits`:
   * the turn waits here, and {@link leave} gives its replacement. `superseded`: a newer session has taken over.
   */
  enter(turn: Turn, message: Parsed): "heard" | "waits" | "superseded" {
    const { session } = turn
    if (this.#claim > session.claim) return supersede(session)
    if (this.#busy) return this.#wait(turn, message)
    if (this.#speaker !== session) {
      if (this.#speaker !== undefined) supersede(this.#speaker)
      this.#speaker = session
      this.#claim = session.claim
    }
    this.#busy = true
    return "heard"
  }

  #wait(turn: Turn, message: Parsed): "waits" | "superseded" {
    const waiting = this.#waiting
    if (waiting !== undefined && waiting.session.claim > turn.session.claim) {
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
  readonly #stored: ReadonlyMap<AgencyId, Standing>

  constructor(stored: ReadonlyMap<AgencyId, Standing>) {
    this.#stored = stored
  }

  of(agency: AgencyId): Desk {
    const known = this.#desks.get(agency)
    if (known !== undefined) return known
    const desk = new Desk(agency, this.#stored.get(agency) ?? nothingStored)
    this.#desks.set(agency, desk)
    return desk
  }
}
