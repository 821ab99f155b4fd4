/**
 * What the server knows of each agency while it runs: what is stored, which connection speaks for it, and whether a
 * chunk of it is between decision and disk. One connection speaks for an agency: a newer one takes over at its first
 * message, but is heard only after the older one's chunk in hand has been stored or has failed. From then on no older
 * one is heard, also when the newer one is gone: it may have been told what is stored.
 */
import type { AgencyId } from "../../domain/Agency.ts"
import { nothingStored, type Standing } from "../../domain/Intake.ts"
import type { Connection } from "./Connection.ts"

export class Desk {
  readonly agency: AgencyId
  standing: Standing
  #speaker: Connection | undefined
  #busy = false
  #next: Connection | undefined
  /** The claim of the newest connection that was heard. */
  #claim = 0

  constructor(agency: AgencyId, standing: Standing) {
    this.agency = agency
    this.standing = standing
  }

  /**
   * The connection has a message for this agency. `heard`: it is dealt with now, and {@link leave} must follow.
   * `waiting`: its turn is given again when the chunk in hand is settled. `dropped`: a newer one has taken over.
   */
  enter(connection: Connection): "heard" | "waiting" | "dropped" {
    if (connection.closing) return "dropped"
    if (this.#claim > connection.claim) return drop(connection)
    if (this.#busy) return this.#wait(connection)
    if (this.#speaker !== connection) {
      this.#speaker?.close("superseded")
      this.#speaker = connection
      this.#claim = connection.claim
    }
    this.#busy = true
    return "heard"
  }

  #wait(connection: Connection): "waiting" | "dropped" {
    const next = this.#next
    if (next !== undefined && next.claim > connection.claim) return drop(connection)
    this.#next = connection
    if (next !== undefined) {
      next.close("superseded")
      next.endTurn()
    }
    return "waiting"
  }

  /** The chunk in hand is settled. Gives the connection whose turn is due now, if one waited for that. */
  leave(): Connection | undefined {
    this.#busy = false
    const next = this.#next
    this.#next = undefined
    return next
  }

  /** The connection is gone. */
  forget(connection: Connection): void {
    if (this.#speaker === connection) this.#speaker = undefined
  }
}

const drop = (connection: Connection): "dropped" => {
  connection.close("superseded")
  return "dropped"
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
