/** Claims: how one of several servers that share a ledger comes to serve an agency. */
import { Schema } from "effect"
import type { Standing } from "./Standing.ts"

/** Counts the claims of an agency, from 1. Only chunks under the newest claim are stored. */
export const Epoch = Schema.Int.check(Schema.isGreaterThan(0)).pipe(Schema.brand("Epoch"))
export type Epoch = typeof Epoch.Type

/** An agency claimed: who has it knows what is stored, and alone may store more, until it is claimed again. */
export interface Claim extends Standing {
  readonly epoch: Epoch
}
