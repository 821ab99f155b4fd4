/**
 * The claims that this server was given, and what is stored under each. The database compares the epoch only: that an
 * agency's chunks follow each other without a gap is known by the claim's holder alone, so it is checked here, before
 * anything is sent.
 */
import type { AgencyId } from "../../../domain/Agency.ts"
import { sizesAgree } from "../../../domain/BetRecord.ts"
import type { Claim } from "../../../domain/Claim.ts"
import { invariant } from "../../../domain/Invariant.ts"
import { type Standing, standingAfter } from "../../../domain/Standing.ts"
import type { LedgerChunk } from "../BetLedger.ts"

interface Given {
  readonly epoch: Claim["epoch"]
  standing: Standing
  /**
   * `fenced`: nothing is stored under it any more. `in doubt`: whether its last chunk is stored isn't known, so that only a
   * new claim can go on.
   */
  state: "valid" | "fenced" | "in doubt"
}

/** What of a group is to be sent, and what then is stored. */
export interface Admitted {
  readonly chunks: ReadonlyArray<LedgerChunk>
  /** The agencies whose claim is known to be an old one. */
  readonly fenced: ReadonlySet<AgencyId>
  readonly after: ReadonlyMap<AgencyId, { readonly given: Given; readonly standing: Standing }>
}

export class CommitLaneClaims {
  readonly #given = new Map<AgencyId, Given>()

  /**
   * The home gave a claim to this server. Its epoch may be lower than the one before: a standby that takes over need not
   * have seen that one.
   */
  give(agency: AgencyId, { bets, epoch, finished, seq }: Claim): void {
    this.#given.set(agency, { epoch, standing: { seq, bets, finished }, state: "valid" })
  }

  known(agency: AgencyId): Standing | undefined {
    return this.#given.get(agency)?.standing
  }

  /** Throws if a chunk would break the count. */
  admit(group: ReadonlyArray<LedgerChunk>): Admitted {
    const after = new Map<AgencyId, { readonly given: Given; readonly standing: Standing }>()
    const fenced = new Set<AgencyId>()
    const chunks = group.filter((chunk) => {
      const { agency, bets, body, epoch, numbers, seq, total } = chunk
      const given = this.#given.get(agency)
      invariant(given !== undefined, "a chunk is decided on under a claim")
      invariant(sizesAgree(bets, numbers, body), "a chunk is as long as its bets")
      if (epoch !== given.epoch || given.state === "fenced") {
        fenced.add(agency)
        return false
      }
      invariant(given.state === "valid", "nothing is stored under a claim in doubt")
      const standing = after.get(agency)?.standing ?? given.standing
      invariant(!standing.finished, "an agency's last chunk is its last")
      invariant(seq === standing.seq + 1, "an agency's chunks have no gap")
      invariant(total === standing.bets + bets, "a chunk counts its agency's bets")
      after.set(agency, { given, standing: standingAfter(standing, chunk) })
      return true
    })
    return { chunks, fenced, after }
  }

  /** The chunks of these agencies are stored, those of others are not. Gives all agencies that are fenced. */
  settle({ after, fenced }: Admitted, stored: ReadonlySet<number>): ReadonlySet<AgencyId> {
    const all = new Set(fenced)
    for (const [agency, { given, standing }] of after) {
      if (stored.has(agency)) given.standing = standing
      else {
        given.state = "fenced"
        all.add(agency)
      }
    }
    return all
  }

  doubt({ after }: Admitted): void {
    for (const { given } of after.values()) given.state = "in doubt"
  }

  /** The last acknowledged chunks of the agencies under valid claims. */
  get acknowledged(): ReadonlyArray<{ readonly agency: AgencyId; readonly seq: number }> {
    return [...this.#given].filter(([, { standing, state }]) =>
      state === "valid" && standing.seq > 0
    ).map(([agency, { standing }]) => ({ agency, seq: standing.seq }))
  }

  /** What was acknowledged of these agencies is not there: their next claims will find out how much is missing. */
  fence(agencies: ReadonlyArray<number>): void {
    const lost = new Set(agencies)
    for (const [agency, given] of this.#given) if (lost.has(agency)) given.state = "fenced"
  }
}
