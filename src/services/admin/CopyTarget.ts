/** Where `ledger copy` writes to: a ledger that no server can open before it is complete. */
import { type Effect, Schema } from "effect"
import type { LedgerReadError, LedgerState, StoredChunk, StoredLedger } from "./StoredLedger.ts"

/** The target has something else in it. */
export class TargetOccupied extends Schema.TaggedError<TargetOccupied>()("TargetOccupied", {
  path: Schema.String,
  what: Schema.String
}) {
  override get message(): string {
    return `${this.path}: ${this.what}; it is left as it is. Copy to another place (--to)`
  }
}

export interface CopyTarget {
  /** What is in it so far. */
  readonly stored: StoredLedger
  /** It was complete before: nothing is written to it any more. */
  readonly isComplete: boolean
  /** The next chunks, of each agency in order: all of them, or none. */
  readonly append: (chunks: ReadonlyArray<StoredChunk>) => Effect.Effect<void, LedgerReadError>
  /** Adds the draw and who was told, and makes it a ledger that servers open. */
  readonly complete: (
    state: LedgerState
  ) => Effect.Effect<void, LedgerReadError | TargetOccupied>
}
