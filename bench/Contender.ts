/** What can be compared: a system that takes in chunks of bets and says when they are on disk. */
import type { Encoding } from "./Requests.ts"

export interface Place {
  /** Empty, on a real disk, and removed afterwards. */
  readonly folder: string
  readonly connections: number
  /** Bets in a chunk. */
  readonly bets: number
}

/** What is found stored after a run, to be held against what was acknowledged. */
export interface Stored {
  readonly unit: "bets" | "bytes"
  readonly count: number
  /** What the data takes on disk. */
  readonly diskBytes: number
}

export interface Running {
  readonly port: number
  /** The process whose tree is the whole system. */
  readonly pid: number
  /** Ends it and counts what it has stored. */
  readonly finish: () => Promise<Stored>
}

/** Ends the name of a contender that acknowledges what the disk may not have yet. */
export const notSynced = " (not synced)"

export interface Contender {
  readonly name: string
  readonly encoding: Encoding
  readonly start: (place: Place) => Promise<Running>
}

/** A system that this machine may or may not have. */
export interface Candidates {
  readonly contenders: ReadonlyArray<Contender>
  /** What the reader has to know: a version, a setting, or why there is nothing to compare with. */
  readonly remarks: ReadonlyArray<string>
}
