/** What is said on a connection, as the judge sees it. */
import type { AgencyId } from "../../src/domain/Agency.ts"

/** What was asked on a connection, as far as the answer depends on it. */
export type Asked =
  | {
    readonly _tag: "Chunk"
    readonly agency: AgencyId
    readonly seq: number | undefined
    /** The bets from..to-1 of the agency's file. */
    readonly from: number
    readonly to: number
    readonly last: boolean
  }
  | { readonly _tag: "Resume"; readonly agency: AgencyId }
  | { readonly _tag: "Consult"; readonly agency: AgencyId; readonly wait: boolean }
  /** Nothing that may be stored or told. */
  | { readonly _tag: "Nonsense" }

/** One connection as the judge sees it. */
export interface Conversation {
  readonly name: string
  /** Requests in the order sent, answered ones removed. */
  readonly asked: Array<Asked>
  /** How many requests were answered. */
  answered: number
  /** A request was put off or rejected: those already sent behind it come too early. */
  rejected: boolean
  /**
   * The place of its first whole request among those that reached the server, from 1. None is later than one that waited
   * for room: when the server took it in can't be seen from here.
   */
  place: number
  /** The newest claim of its agency when its first whole request had reached the server. */
  claimBefore: number
  /** The life of a server that it leads to. */
  readonly life: number
  /** Of the requests that reached the server and were not answered: how many chunks of the agency were stored then. */
  readonly seen: Array<number>
}
