/**
 * What reports read of a ledger, whatever it is stored in. A server may be writing meanwhile: reads are short, and what
 * belongs together is of one moment.
 */
import { type Effect, Option, type Stream } from "effect"
import { parseRoster } from "../../domain/Agency.ts"
import type { ToldRecord } from "../../domain/Draw.ts"
import { agenciesCeiling } from "../../domain/Limits.ts"
import type { Standing } from "../../domain/Standing.ts"
import type { LedgerMismatch, LedgerOpenError, LedgerUnreadable } from "../ledger/BetLedger.ts"

/** Why a ledger can't be read. No configuration is compared here. */
export type LedgerReadError = Exclude<LedgerOpenError, LedgerMismatch>

export interface StoredLedger {
  /** For messages. */
  readonly name: string
  /** Everything but the chunks, of one moment. `operation` is for messages, here and below. */
  readonly state: (operation: string) => Effect.Effect<LedgerState, LedgerReadError>
  /** The names of the other draws in the same place, those that began last first. */
  readonly otherDraws: (
    operation: string
  ) => Effect.Effect<ReadonlyArray<string>, LedgerReadError>
  /** What it occupies on disk. */
  readonly bytes: (operation: string) => Effect.Effect<number, LedgerReadError>
  /**
   * The chunks by agency, then in the order stored: all of the moment when the stream began, and each compared with its
   * checksum. They come in pieces of a bounded size, so memory doesn't grow with the ledger.
   */
  readonly chunks: (
    operation: string
  ) => Stream.Stream<ReadonlyArray<StoredChunk>, LedgerReadError>
  /** The error for a reader who finds that the ledger isn't what was stored. */
  readonly damaged: (what: string) => LedgerUnreadable
}

/** `numbers` and `body` as in domain/Chunk.ts. */
export interface StoredChunk {
  readonly agency: number
  readonly seq: number
  readonly last: boolean
  readonly bets: number
  readonly numbers: Uint8Array
  readonly body: Uint8Array
}

export interface LedgerState {
  readonly lottery: StoredLottery
  /** Of the agencies that have sent. */
  readonly standings: ReadonlyMap<number, Standing>
  readonly held: HeldWinners | undefined
  readonly told: ReadonlyMap<number, ToldRecord>
}

interface StoredLottery {
  /** In the notation of the configuration. */
  readonly roster: string
  readonly winningNumber: number
  /** The draw's name. */
  readonly draw: string
  /** UTC, ISO 8601. */
  readonly beganAt: string
}

/** A draw that was held, and the documents of its winners by agency, as the agencies are told them. */
export interface HeldWinners {
  readonly draw: HeldDraw
  readonly winners: ReadonlyMap<number, ReadonlyArray<string>>
}

export interface HeldDraw {
  readonly winningNumber: number
  /** UTC, ISO 8601. */
  readonly heldAt: string
}

/** The agencies of the roster, in its order; none when the roster can't be read. */
export const agenciesOf = ({ roster }: { readonly roster: string }): ReadonlyArray<number> =>
  Option.getOrElse(parseRoster(roster, agenciesCeiling), () => [])
