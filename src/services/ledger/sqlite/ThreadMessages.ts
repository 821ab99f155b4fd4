/**
 * What the main thread and the ledger's threads say to each other. Each request carries an `id`, and each is
 * answered once with the same `id`, if it fails with a
 * `Failed`.
 */
import type { Standing } from "../../../domain/Intake.ts"

/** Why a request failed. Everything but `Defect` is an operating error that the main thread makes a typed one. */
export type Failure =
  | { readonly kind: "InUse" }
  | {
    readonly kind: "Mismatch"
    readonly what: "agencies" | "winning number" | "draw"
    readonly ledger: string
    readonly configured: string
  }
  | { readonly kind: "Unreadable"; readonly problem: string }
  | { readonly kind: "Unavailable"; readonly message: string; readonly code: number | undefined }
  /** The file that is written is no longer the one that its path leads to. */
  | { readonly kind: "Displaced"; readonly message: string }
  | { readonly kind: "Defect"; readonly message: string }

/** Thrown in a thread for a failure that SQLite didn't report. */
export class LedgerProblem extends Error {
  readonly failure: Failure
  constructor(failure: Failure) {
    super(failure.kind)
    this.failure = failure
  }
}

/** Ends the request, and in the end the process: the ledger would break the count, or can't vouch for it. */
export const defect = (message: string): LedgerProblem =>
  new LedgerProblem({ kind: "Defect", message })

export interface Failed {
  readonly _tag: "Failed"
  readonly id: number
  readonly failure: Failure
}

export interface WriterConfig {
  /** As it was configured: links are followed. */
  readonly path: string
  /** The roster in the notation of the configuration, and its agencies. */
  readonly roster: string
  readonly agencies: ReadonlyArray<number>
  readonly winningNumber: number
  /** The draw's name; undefined: that of a ledger that is there, or one from the time, of a new one. */
  readonly draw?: string | undefined
  readonly pageBytes: number
  readonly walPagesMax: number
  readonly walBytesKept: number
  readonly busyTimeoutMs: number
  readonly snapshotChunks: number
}

export type WriterRequest =
  | { readonly _tag: "Open"; readonly id: number }
  /** A group as GroupBuffer.ts lays it out; the buffer comes back with the answer. */
  | { readonly _tag: "Commit"; readonly id: number; readonly buffer: ArrayBuffer }
  | { readonly _tag: "HoldDraw"; readonly id: number }
  /** Whether the path still leads to the file that is written. */
  | { readonly _tag: "Look"; readonly id: number }
  | { readonly _tag: "Told"; readonly id: number; readonly records: ReadonlyArray<ToldRecord> }
  /** `unused`: the start failed, and nobody was told of this ledger: a new one goes. */
  | { readonly _tag: "Close"; readonly id: number; readonly unused: boolean }

export interface DrawRecord {
  readonly winningNumber: number
  readonly winners: ReadonlyMap<number, ReadonlyArray<string>>
}

/** That an agency was told its winners. */
export interface ToldRecord {
  readonly agency: number
  readonly how: "confirmed" | "sent"
  /** Local time with its offset, ISO 8601. */
  readonly at: string
  readonly address: string
  readonly port: number
}

export type WriterReply =
  | {
    readonly _tag: "Opened"
    readonly id: number
    readonly agencies: ReadonlyMap<number, Standing>
    readonly draw: DrawRecord | undefined
    readonly drawName: string
    readonly told: ReadonlyMap<number, ToldRecord>
    /** Whether the lottery began just now. */
    readonly isNew: boolean
  }
  | { readonly _tag: "Committed"; readonly id: number; readonly buffer: ArrayBuffer }
  | { readonly _tag: "Drawn"; readonly id: number; readonly draw: DrawRecord }
  | { readonly _tag: "Looked"; readonly id: number; readonly displaced: string | undefined }
  | { readonly _tag: "Noted"; readonly id: number }
  | { readonly _tag: "Closed"; readonly id: number }

export interface ReaderConfig {
  readonly path: string
  readonly busyTimeoutMs: number
}

export type ReaderRequest =
  /** Opens the file before it is needed: see {@link CheckpointRequest}. */
  | { readonly _tag: "Open"; readonly id: number }
  | { readonly _tag: "ChunkAt"; readonly id: number; readonly agency: number; readonly seq: number }
  | {
    readonly _tag: "ReadBets"
    readonly id: number
    readonly agency: number
    readonly seq: number
    readonly offset: number
    readonly bytes: number
  }
  | { readonly _tag: "Digest"; readonly id: number; readonly agency: number }
  | { readonly _tag: "Close"; readonly id: number }

export interface CheckpointConfig {
  readonly path: string
  /** The file, to sync it: see SyncedFile.ts. */
  readonly descriptor: number
  readonly busyTimeoutMs: number
}

export type CheckpointRequest =
  /** Opens the file before it is needed: there may be no descriptor left by then. */
  | { readonly _tag: "Open"; readonly id: number }
  | { readonly _tag: "Pass"; readonly id: number }
  | { readonly _tag: "Close"; readonly id: number }

export type CheckpointReply =
  | { readonly _tag: "Ready"; readonly id: number }
  | { readonly _tag: "Passed"; readonly id: number }
  | { readonly _tag: "Closed"; readonly id: number }

export interface StoredChunk {
  readonly last: boolean
  readonly bets: number
  readonly numbers: Uint8Array<ArrayBuffer>
  readonly body: Uint8Array<ArrayBuffer>
}

export interface BetBytes {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly next: { readonly seq: number; readonly offset: number }
}

export interface DigestRecord {
  readonly seq: number
  readonly bets: number
  readonly digest: string
}

export type ReaderReply =
  | { readonly _tag: "Ready"; readonly id: number }
  | { readonly _tag: "Chunk"; readonly id: number; readonly chunk: StoredChunk | undefined }
  | { readonly _tag: "Bets"; readonly id: number; readonly read: BetBytes }
  | { readonly _tag: "Digested"; readonly id: number; readonly digest: DigestRecord }
  | { readonly _tag: "Closed"; readonly id: number }
