/**
 * The messages between the main thread and the ledger's threads. Each request carries an `id` and is answered once, with
 * the same `id`: with `Failed` if it failed.
 */
import type { ToldRecord } from "../../../domain/Draw.ts"
import type { Standing } from "../../../domain/Standing.ts"
import type { DrawRecord } from "./DrawTable.ts"
import type { Failure } from "./LedgerProblem.ts"
import type { BetBytes, DigestRecord, StoredChunk } from "./LedgerReader.ts"

export interface Failed {
  readonly _tag: "Failed"
  readonly id: number
  readonly failure: Failure
}

export type WriterRequest =
  | { readonly _tag: "Open"; readonly id: number }
  /** A group in the layout of GroupBuffer.ts. The answer brings the buffer back. */
  | { readonly _tag: "Commit"; readonly id: number; readonly buffer: ArrayBuffer }
  | { readonly _tag: "HoldDraw"; readonly id: number }
  /** Whether the path still leads to the file that is written. */
  | { readonly _tag: "Look"; readonly id: number }
  | { readonly _tag: "Told"; readonly id: number; readonly records: ReadonlyArray<ToldRecord> }
  /** `unused`: the start failed and no agency was told of this ledger, so a new one is removed. */
  | { readonly _tag: "Close"; readonly id: number; readonly unused: boolean }

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

export type ReaderReply =
  | { readonly _tag: "Ready"; readonly id: number }
  | { readonly _tag: "Chunk"; readonly id: number; readonly chunk: StoredChunk | undefined }
  | { readonly _tag: "Bets"; readonly id: number; readonly read: BetBytes }
  | { readonly _tag: "Digested"; readonly id: number; readonly digest: DigestRecord }
  | { readonly _tag: "Closed"; readonly id: number }
