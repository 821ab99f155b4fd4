/**
 * The ledger in an SQLite file. A thread writes, one copies the write-ahead log into the file, and one reads, so that
 * neither the server nor a commit waits for another's disk. One process holds the file at a time.
 */
import { Cause, Effect, Exit, Layer, Schema, Stream } from "effect"
import * as path from "node:path"
import { formatRoster, type Roster } from "../../../domain/Agency.ts"
import { type Draw, DrawName, WinningNumber } from "../../../domain/Draw.ts"
import { BetLedger, LedgerUnreadable } from "../BetLedger.ts"
import type { DrawRecord } from "../sqlite/DrawTable.ts"
import { preparePlace } from "../sqlite/LedgerPlace.ts"
import { whileOpening } from "../sqlite/LedgerProblem.ts"
import type { ReaderConfig } from "../sqlite/LedgerReader.ts"
import { SyncedFile } from "../sqlite/SyncedFile.ts"
import type {
  ReaderReply,
  ReaderRequest,
  WriterReply,
  WriterRequest
} from "../sqlite/ThreadMessages.ts"
import { type WriterBounds, type WriterConfig, writerDefaults } from "../sqlite/WriterConfig.ts"
import { runCheckpoints } from "./Checkpoints.ts"
import { Claims } from "./Claims.ts"
import { readsOf } from "./LedgerReads.ts"
import { LedgerThread, unexpectedReply } from "./LedgerThread.ts"
import { LedgerWrites, ofRoster } from "./LedgerWrites.ts"
import { ReplacedThread } from "./ReplacedThread.ts"
import { attempt, errorAt, unavailableIn } from "./TypedErrors.ts"
import { watchPlace } from "./WatchedPlace.ts"

interface Bounds extends WriterBounds {
  /** Each time that the write-ahead log has grown by this, it is copied into the file beside the commits. */
  readonly checkpointBytes: number
  /** How often, besides after each commit, the writer looks whether the path still leads to the file that it writes. */
  readonly lookMs: number
}

const defaults: Bounds = {
  ...writerDefaults,
  checkpointBytes: 1024 * 1024,
  lookMs: 1000
}

export interface SqliteLedgerOptions extends Partial<Bounds> {
  /** The ledger's file. It and its folder are created where they are missing. */
  readonly path: string
  readonly roster: Roster
  readonly winningNumber: WinningNumber
  /** The draw's name; absent: that of an existing ledger; of a new one, a name made from the time. */
  readonly draw?: DrawName | undefined
  /**
   * Called once when the path no longer leads to the file that is written, with what to do, and once when it does again
   * (undefined).
   */
  readonly onDisplaced?: (problem: string | undefined) => void
}

/** Opens the ledger until the scope ends. */
export const openSqliteLedger = Effect.fnUntraced(function*(options: SqliteLedgerOptions) {
  const { draw, onDisplaced = () => {}, path: configured, roster, winningNumber, ...some } = options
  const bounds = { ...defaults, ...some }
  // Reader and checkpoints open this file, even if a link is changed meanwhile.
  const file = yield* attempt("open", configured, () => preparePlace(configured))
  /** With a digest (RESUME) an agency is told the draw's name, and keeps to it. */
  let nameTold = false

  // What is acquired first is closed last. SyncedFile.ts says why its file is; a connection that reads keeps the writer
  // from emptying the log, so the reader is closed before the writer.
  const synced = yield* Effect.acquireRelease(
    Effect.sync(() => new SyncedFile(file)),
    (opened) => Effect.sync(() => opened.close())
  )
  const writer = yield* startWriter(
    {
      ...bounds,
      path: path.resolve(configured),
      roster: formatRoster(roster),
      agencies: roster,
      winningNumber,
      draw
    },
    () => nameTold
  )
  const reader = yield* startReader({ path: file, busyTimeoutMs: bounds.busyTimeoutMs })
  const opened = yield* Effect.mapError(
    writer.call((id) => ({ _tag: "Open", id })),
    errorAt(configured, "open")
  )
  if (opened._tag !== "Opened") return yield* unexpectedReply(opened)
  const drawName = yield* toDrawName(configured, opened.drawName)
  const descriptor = yield* attempt(
    "open",
    configured,
    () => whileOpening(configured, () => synced.open())
  )
  yield* Effect.mapError(reader.call((id) => ({ _tag: "Open", id })), unavailableIn("open"))
  const noteStored = yield* Effect.mapError(
    runCheckpoints({ ...bounds, path: file, descriptor }),
    unavailableIn("open")
  )
  const place = yield* watchPlace(writer, bounds.lookMs, onDisplaced)
  const noteDigest = () => {
    nameTold = true
  }

  const claims = new Claims(roster, ofRoster(roster, opened.agencies))
  const writes = new LedgerWrites({
    writer,
    place,
    roster,
    claims,
    draw: opened.draw,
    told: opened.told,
    toDraw: drawOf(roster),
    onStored: noteStored
  })
  return BetLedger.of({
    opened: { drawName, isNew: opened.isNew, ...claims.summary },
    // One process holds the file: nobody else changes anything.
    groupsMax: 1,
    news: Stream.never,
    claim: writes.claim,
    commit: writes.commit,
    holdDraw: writes.holdDraw,
    standing: writes.standing,
    told: writes.told,
    toldRecords: writes.toldRecords,
    ...readsOf(reader, place, noteDigest)
  })
})

export const sqliteLedgerLayer = (options: SqliteLedgerOptions) =>
  Layer.effect(BetLedger, openSqliteLedger(options))

/** A new ledger is removed when the start fails and no agency has been told of it. */
const startWriter = (config: WriterConfig, wasTold: () => boolean) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      new LedgerThread<WriterRequest, WriterReply>(
        new URL("../sqlite/WriterThread.ts", import.meta.url),
        config
      )
    ),
    (thread, exit) => {
      const unused = isFailedStart(exit) && !wasTold()
      return thread.close((id) => ({ _tag: "Close", id, unused }))
    }
  )

const startReader = (config: ReaderConfig) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      new ReplacedThread<ReaderRequest, ReaderReply>(
        new URL("../sqlite/ReaderThread.ts", import.meta.url),
        config,
        (id) => ({ _tag: "Close", id })
      )
    ),
    (thread) => thread.close
  )

/** An interruption is how a start is called off, and a server stopped. */
const isFailedStart = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)

const drawOf = (roster: Roster) => (record: DrawRecord): Draw => ({
  winningNumber: WinningNumber.make(record.winningNumber),
  winners: ofRoster(roster, record.winners)
})

const toDrawName = (file: string, name: string): Effect.Effect<DrawName, LedgerUnreadable> =>
  Effect.mapError(
    Schema.decodeUnknownEffect(DrawName)(name),
    () => new LedgerUnreadable({ path: file, problem: "its draw's name is not a valid name" })
  )
