/**
 * The ledger: the truth about what was accepted. It owns chunks by (agency, seq), the finished agencies, the draw and
 * its winners. What it has acknowledged survives a crash of the process and of the machine. It doesn't decide: the replay
 * rule does, and the ledger only refuses what would break the count (a defect).
 *
 * Several servers may share a home. So a server claims an agency before it decides on the agency's chunks, and what
 * it decided under a claim is stored only while that claim is the newest one.
 *
 * This is what every home of the ledger must do; test/suites/BetLedgerSuite.ts tests it.
 */
import { Context, type Effect, type Option, Runtime, Schema, type Stream } from "effect"
import type { AgencyId } from "../../domain/Agency.ts"
import type { Claim, Epoch } from "../../domain/Claim.ts"
import type { Draw, DrawName, ToldRecord } from "../../domain/Draw.ts"
import type { BetCursor } from "../../domain/ReplayRule.ts"
import { ExitCode } from "../base/ExitCode.ts"

/** A chunk as it is stored. `numbers` and `body` as in domain/Chunk.ts. */
export interface StoredChunk {
  readonly agency: AgencyId
  readonly seq: number
  /** The agency's last chunk: its finished mark is part of the same transaction. */
  readonly last: boolean
  readonly bets: number
  readonly numbers: Uint8Array
  readonly body: Uint8Array
}

/** A chunk to store. */
export interface LedgerChunk extends StoredChunk {
  /** Of the claim under which it was decided on. */
  readonly epoch: Epoch
  /** The agency's bets up to this chunk, and with it. */
  readonly total: number
}

/** What became of a group. */
export interface Committed {
  /** The agencies of the group that have been claimed anew. None of their chunks is stored, and all the others are. */
  readonly fenced: ReadonlySet<AgencyId>
}

/** How far the lottery is. */
export interface LotteryStanding {
  readonly finished: ReadonlySet<AgencyId>
  readonly draw: Option.Option<Draw>
}

/** What another server may have changed. It says where to look, and isn't the truth itself. */
export type News =
  /** {@link LotteryStanding} may be another one now. */
  | { readonly _tag: "Changed" }
  /** Another server has claimed the agency. */
  | { readonly _tag: "Claimed"; readonly agency: AgencyId; readonly epoch: Epoch }

const messageOf = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

/** The ledger can't be used at the moment. Nothing of the operation is stored, and trying again can help. */
export class LedgerUnavailable
  extends Schema.TaggedError<LedgerUnavailable>()("LedgerUnavailable", {
    operation: Schema.String,
    cause: Schema.Defect()
  })
{
  /** What happened, and not where. */
  get problem(): string {
    return messageOf(this.cause)
  }
  override get message(): string {
    return `the ledger is unavailable (${this.operation}): ${this.problem}`
  }
}

/**
 * A group was on its way, and its answer is lost: it is stored whole or not at all, and which of the two isn't known. A
 * new claim of an agency finds out, and makes a group void that still is on its way.
 */
export class LedgerInDoubt extends Schema.TaggedError<LedgerInDoubt>()("LedgerInDoubt", {
  cause: Schema.Defect()
}) {
  get problem(): string {
    return messageOf(this.cause)
  }
  override get message(): string {
    return `whether a group is stored isn't known: ${this.problem}`
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

/** The database is set up so that no server can use it, or not with this role. Starting again doesn't help. */
export class LedgerUnfit extends Schema.TaggedError<LedgerUnfit>()("LedgerUnfit", {
  path: Schema.String,
  problem: Schema.String
}) {
  override readonly [Runtime.errorExitCode] = ExitCode.wrongConfiguration
  override get message(): string {
    return `${this.path}: ${this.problem}`
  }
}

/** Why a ledger isn't opened, or its file can't be used. */
export type LedgerOpenError =
  | LedgerInUse
  | LedgerMismatch
  | LedgerUnreadable
  | LedgerUnavailable
  | LedgerUnfit

export class BetLedger extends Context.Service<BetLedger, {
  /** What the ledger held when it was opened. */
  readonly opened: {
    readonly drawName: DrawName
    /** Whether the lottery began with this opening. */
    readonly isNew: boolean
    readonly bets: number
    /** How many agencies had finished. */
    readonly finished: number
  }
  /** How many groups may be on their way to disk at once. */
  readonly groupsMax: number
  /** Claims an agency of the roster. What was decided on under earlier claims is not stored any more. */
  readonly claim: (agency: AgencyId) => Effect.Effect<Claim, LedgerUnavailable>
  /**
   * Stores a group, whole but for fenced agencies, or not at all. Succeeds only when it is on disk. Groups that are on
   * their way at once are of different agencies.
   */
  readonly commit: (
    group: ReadonlyArray<LedgerChunk>
  ) => Effect.Effect<Committed, LedgerUnavailable | LedgerInDoubt>
  /** A stored chunk, to compare a repeated `seq` with. */
  readonly chunkAt: (
    agency: AgencyId,
    seq: number
  ) => Effect.Effect<Option.Option<StoredChunk>, LedgerUnavailable>
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
  /** How far the lottery is now, whichever server brought it there. */
  readonly standing: Effect.Effect<LotteryStanding, LedgerUnavailable>
  /**
   * What other servers change: at once when all goes well, and `Changed` at least every poll interval. None where no other
   * server can. Each run of the stream gets all news.
   */
  readonly news: Stream.Stream<News>
  /**
   * Holds the draw and stores it with its winners in one transaction, or gives the one already held; none while agencies
   * have not finished. Not at the same time as a commit of this server.
   */
  readonly holdDraw: Effect.Effect<Option.Option<Draw>, LedgerUnavailable>
  /** Notes which agencies were told their winners. Not at the same time as a commit of this server. */
  readonly told: (records: ReadonlyArray<ToldRecord>) => Effect.Effect<void, LedgerUnavailable>
  /** The agencies that are known to have been told their winners, by whichever server. */
  readonly toldRecords: Effect.Effect<ReadonlyMap<AgencyId, ToldRecord>, LedgerUnavailable>
}>()("loteria-nacional/services/ledger/BetLedger") {}
