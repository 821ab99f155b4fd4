/** Lives of a process with a ledger, for the suites that every home of the ledger passes. */
import { Effect, type Layer } from "effect"
import { AgencyId, type Roster } from "../../src/domain/Agency.ts"
import { WinningNumber } from "../../src/domain/Draw.ts"
import { BetLedger, type LedgerOpenError } from "../../src/services/ledger/BetLedger.ts"
import { type Selling, selling, standingOf } from "../support/LedgerChunks.ts"

export interface Lottery {
  readonly roster: Roster
  readonly winningNumber: WinningNumber
}

export interface LedgerStore {
  readonly layer: (
    lottery: Lottery
  ) => Layer.Layer<BetLedger, LedgerOpenError>
}

export const three = AgencyId.make(3)
export const five = AgencyId.make(5)
/** 257 is 01 01: two numbers side by side can hold it in their middle. */
export const lottery: Lottery = { roster: [three, five], winningNumber: WinningNumber.make(257) }

/** One life of the process: opens the ledger, uses it, closes it. */
export const life = <A, E>(
  store: LedgerStore,
  use: (ledger: Selling) => Effect.Effect<A, E>,
  of = lottery
) =>
  Effect.provide(
    Effect.flatMap(BetLedger, (ledger) => use(selling(ledger))),
    store.layer(of),
    { local: true }
  )

/** What a new life finds of both agencies. */
export const standings = (store: LedgerStore) =>
  life(store, (ledger) => Effect.all([standingOf(ledger, three), standingOf(ledger, five)]))
