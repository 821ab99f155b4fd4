/**
 * The claims of a ledger that one server holds: it knows without asking its file what is stored of every agency. They
 * keep nothing across restarts, because no chunk survives one undecided.
 */
import type { AgencyId, Roster } from "../../../domain/Agency.ts"
import { type Claim, Epoch } from "../../../domain/Claim.ts"
import { invariant } from "../../../domain/Invariant.ts"
import { nothingStored, type Standing, standingAfter } from "../../../domain/Standing.ts"
import type { LedgerChunk } from "../BetLedger.ts"

interface Claimed {
  standing: Standing
  /** 0 until the first claim. */
  epoch: number
}

const none: ReadonlySet<AgencyId> = new Set()

export class Claims {
  readonly #agencies = new Map<AgencyId, Claimed>()
  readonly #finished = new Set<AgencyId>()

  constructor(roster: Roster, stored: ReadonlyMap<AgencyId, Standing>) {
    for (const agency of roster) {
      const standing = stored.get(agency) ?? nothingStored
      this.#agencies.set(agency, { standing, epoch: 0 })
      if (standing.finished) this.#finished.add(agency)
    }
  }

  get finished(): ReadonlySet<AgencyId> {
    return this.#finished
  }

  get summary(): { readonly bets: number; readonly finished: number } {
    let bets = 0
    for (const { standing } of this.#agencies.values()) bets += standing.bets
    return { bets, finished: this.#finished.size }
  }

  /** The agency must not have a chunk on its way to disk. */
  claim(agency: AgencyId): Claim {
    const claimed = this.#agencies.get(agency)
    invariant(claimed !== undefined, "an agency of the roster is claimed")
    claimed.epoch++
    return { ...claimed.standing, epoch: Epoch.make(claimed.epoch) }
  }

  /** The agencies of the group that have been claimed anew since its chunks were decided on. */
  fenced(group: ReadonlyArray<LedgerChunk>): ReadonlySet<AgencyId> {
    let fenced: Set<AgencyId> | undefined
    for (const { agency, epoch } of group) {
      const claimed = this.#agencies.get(agency)
      if (claimed === undefined || claimed.epoch === epoch) continue
      fenced ??= new Set()
      fenced.add(agency)
    }
    return fenced ?? none
  }

  /** The group is on disk. */
  settle(group: ReadonlyArray<LedgerChunk>): void {
    for (const chunk of group) {
      const claimed = this.#agencies.get(chunk.agency)
      if (claimed === undefined) continue
      claimed.standing = standingAfter(claimed.standing, chunk)
      if (chunk.last) this.#finished.add(chunk.agency)
    }
  }
}
