/** What the judge knows of lives and agencies. */
import type { AgencyId } from "../../src/domain/Agency.ts"
import { nothingStored, type Standing } from "../../src/domain/Standing.ts"
import type { Conversation } from "./Conversation.ts"

/** What is known of one life of a server. */
export class LifeRecord {
  drawKnown: boolean
  drawsLogged = 0
  /** Whose winners it has answered, or read that they were. */
  readonly informed: Set<AgencyId>
  /** The connections of an agency, in the order in which they were first heard of. */
  readonly arrived = new Map<AgencyId, Array<Conversation>>()
  /** The newest one of an agency that was answered. */
  readonly newest = new Map<AgencyId, Conversation>()

  constructor(drawKnown: boolean, informed: Iterable<AgencyId>) {
    this.drawKnown = drawKnown
    this.informed = new Set(informed)
  }
}

/** What is known of one agency. */
export class AgencyRecord {
  /** What has been stored, chunk after chunk. */
  readonly standings: [Standing, ...Array<Standing>] = [nothingStored]
  /** Which life stored the chunk that ends after so many bets. */
  readonly storedBy = new Map<number, Set<number>>()
  epoch = 0
  /** The newest claim of each life. */
  readonly claims = new Map<number, number>()
  /** The life that claimed it last. */
  claimedBy = 0

  get now(): Standing {
    return this.standings.at(-1) ?? this.standings[0]
  }
}
