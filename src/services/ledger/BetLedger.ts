/**
 * The ledger: the truth about what was accepted. It owns chunks by (agency, seq), the finished agencies, the draw and
 * its winners. What it has acknowledged survives a crash of the process and of the machine; a group is stored whole or
 * not at all. It doesn't decide: the replay rule does, and the ledger only refuses what would break the count (a defect).
 *
 * This is what every home of the ledger must do; test/suites/BetLedgerSuite.ts tests it.
 */
import { Context, type Effect, type Option, Runtime, Schema } from "effect"
import type { AgencyId } from "../../domain/Agency.ts"
import type { Draw, DrawName, ToldRecord } from "../../domain/Draw.ts"
import type { BetCursor } from "../../domain/ReplayRule.ts"
import type { Standing } from "../../domain/Standing.ts"
import { ExitCode } from "../base/ExitCode.ts"

/** A chunk to store. `numbers` and `body` as in domain/Chunk.ts. */
export interface LedgerChunk {
  readonly agency: AgencyId
  readonly seq: number
  /** The agency's last chunk: its finished mark is part of the same transaction. */
  readonly last: boolean
  readonly bets: number
  readonly numbers: Uint8Array
  readonly body: Uint8Array
}

/** The ledger can't be used at the moment. Nothing of the operation is stored, and trying again can help. */
export class LedgerUnavailable
  extends Schema.TaggedError<LedgerUnavailable>()("LedgerUnavailable", {
    operation: Schema.String,
    cause: Schema.Defect()
  })
{
  override get message(): string {
    const { cause } = this
    return `the ledger is unavailable (${this.operation}): ${
      cause instanceof Error ? cause.message : String(cause)
    }`
  }
}

/** Another process holds the ledger. */
export class LedgerInUse extends Schema.TaggedError<LedgerInUse>()("LedgerInUse", {
  path: Schema.String
}) {
  override get message(): string {
    return `${this.path}: the ledger is in use by another process`
  }
}

/** The ledger began with another roster, winning number or draw. Both values are named. */
export class LedgerMismatch extends Schema.TaggedError<LedgerMismatch>()("LedgerMismatch", {
  path: Schema.String,
  what: Schema.Literals(["agencies", "winning number", "draw"]),
  ledger: Schema.String,
  configured: Schema.String
}) {
  override readonly [Runtime.errorExitCode] = ExitCode.wrongConfiguration
  override get message(): string {
    return `${this.path}: the ledger began with ${this.what} ${this.ledger}, `
      + `the configuration says ${this.configured}`
  }
}

/** The file is not a ledger, is of a newer version, or is damaged. It is not touched. */
export class LedgerUnreadable extends Schema.TaggedError<LedgerUnreadable>()("LedgerUnreadable", {
  path: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.path}: ${this.problem}`
  }
}

/** Why a ledger isn't opened, or its file can't be used. */
export type LedgerOpenError = LedgerInUse | LedgerMismatch | LedgerUnreadable | LedgerUnavailable

export class BetLedger extends Context.Service<BetLedger, {
  /** What the ledger held when it was opened. */
  readonly opened: {
    readonly agencies: ReadonlyMap<AgencyId, Standing>
    readonly draw: Option.Option<Draw>
    readonly drawName: DrawName
    /** The agencies that are known to have been told their winners. */
    readonly told: ReadonlyMap<AgencyId, ToldRecord>
    /** Whether the lottery began with this opening. */
    readonly isNew: boolean
  }
  /** Stores a group, whole or not at all. Succeeds only when it is on disk. One caller at a time. */
  readonly commit: (group: ReadonlyArray<LedgerChunk>) => Effect.Effect<void, LedgerUnavailable>
  /** A stored chunk, to compare a repeated `seq` with. */
  readonly chunkAt: (
    agency: AgencyId,
    seq: number
  ) => Effect.Effect<Option.Option<LedgerChunk>, LedgerUnavailable>
  /** The agency's stored bytes from `from` on, across chunks: as many as asked for, fewer only where they end. */
  readonly readBets: (
    agency: AgencyId,
    from: BetCursor,
    bytes: number
  ) => Effect.Effect<{ readonly bytes: Uint8Array; readonly next: BetCursor }, LedgerUnavailable>
  /** SHA-256 (hex) of the agency's CSV lines in order, as exported. */
  readonly digest: (
    agency: AgencyId
  ) => Effect.Effect<
    { readonly seq: number; readonly bets: number; readonly digest: string },
    LedgerUnavailable
  >
  /** Holds the draw and stores it with its winners in one transaction, or returns the one already held. */
  readonly holdDraw: Effect.Effect<Draw, LedgerUnavailable>
  /** Notes which agencies were told their winners. Not at the same time as a commit. */
  readonly told: (records: ReadonlyArray<ToldRecord>) => Effect.Effect<void, LedgerUnavailable>
}>()("loteria-nacional/services/ledger/BetLedger") {}
