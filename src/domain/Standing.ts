/** What is stored for an agency, as the decision, the ledger and its reports know it. */

/** What is stored for one agency. */
export interface Standing {
  /** The last chunk's `seq`; 0 when there is none. Chunks are numbered 1, 2, 3 … without gaps. */
  readonly seq: number
  readonly bets: number
  readonly finished: boolean
}

export const nothingStored: Standing = { seq: 0, bets: 0, finished: false }

/** The agency's standing once a stored chunk is on disk. */
export const standingAfter = (
  standing: Standing,
  stored: { readonly seq: number; readonly bets: number; readonly last: boolean }
): Standing => ({
  seq: stored.seq,
  bets: standing.bets + stored.bets,
  finished: standing.finished || stored.last
})
