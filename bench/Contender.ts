/** What can be compared: a system that takes in chunks of bets and says when they are on disk. */
import type { Encoding } from "./Requests.ts"

export interface Place {
  /** Empty, on a real disk, and removed afterwards. */
  readonly folder: string
  readonly connections: number
  /** Bets in a chunk. */
  readonly bets: number
}

/** What is stored after a run, to be compared with what was acknowledged. */
export interface Stored {
  readonly unit: "bets" | "bytes"
  readonly count: number
  /** The size of the data on disk. */
  readonly diskBytes: number
}

export interface Running {
  readonly port: number
  /** The process whose tree is the whole system. */
  readonly pid: number
  /** Ends it and counts what it has stored. */
  readonly finish: () => Promise<Stored>
}

/** The end of the name of a contender that acknowledges bets before they are on disk. */
export const notSynced = " (not synced)"

export interface Contender {
  readonly name: string
  readonly encoding: Encoding
  readonly start: (place: Place) => Promise<Running>
}

/** A system that may be missing on this machine. */
export interface Candidates {
  readonly contenders: ReadonlyArray<Contender>
  /** Facts for the reader: a version, a setting, or the reason why the system is missing. */
  readonly remarks: ReadonlyArray<string>
}
