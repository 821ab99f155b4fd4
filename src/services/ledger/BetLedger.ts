/**
 * The ledger: the truth about what was accepted. It owns chunks by (agency, seq), who is finished, the draw and its
 * winners. What it has acknowledged survives a crash of the process and of the machine; a group is stored whole or
 * not at all. It doesn't decide: Intake does, and the ledger only refuses what would break the count (a defect).
 */
import { Cause, Context, Effect, Exit, Layer, Option, Runtime, Schema } from "effect"
import * as path from "node:path"
import { type AgencyId, formatRoster, type Roster } from "../../domain/Agency.ts"
import { type Draw, DrawName, WinningNumber } from "../../domain/Draw.ts"
import type { BetCursor, Standing } from "../../domain/Intake.ts"
import { ExitCode } from "../base/ExitCode.ts"
import type { Keeper } from "../base/Keeper.ts"
import { runCheckpoints } from "./Checkpoints.ts"
import { LedgerThread, ReplacedThread } from "./LedgerThread.ts"
import type { DrawRecord } from "./sqlite/DrawTable.ts"
import { encodeGroup } from "./sqlite/GroupBuffer.ts"
import { preparePlace } from "./sqlite/LedgerPlace.ts"
import { type Failure, toFailure } from "./sqlite/LedgerProblem.ts"
import { SyncedFile } from "./sqlite/SyncedFile.ts"
import type {
  ReaderReply,
  ReaderRequest,
  WriterReply,
  WriterRequest
} from "./sqlite/ThreadMessages.ts"
import type { ToldRecord } from "./sqlite/ToldTable.ts"
import { type WriterConfig, writerDefaults } from "./sqlite/WriterConfig.ts"
import { watchPlace } from "./WatchedPlace.ts"

export type { ToldRecord } from "./sqlite/ToldTable.ts"

/** A chunk to store. `numbers` and `body` as in domain/Chunk.ts. */
export interface LedgerChunk {
  readonly agency: AgencyId
  readonly seq: number
  /** The agency is finished with this chunk: its mark is part of the same transaction. */
  readonly last: boolean
  readonly bets: number
  readonly numbers: Uint8Array
  readonly body: Uint8Array
}

/** The ledger can't be used at the moment; nothing of the operation is stored. Trying again can help. */
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

/** The ledger began with another roster, winning number or draw; both values are named. */
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

export interface BetLedgerOptions {
  /** The ledger's file; it and its folder are created where missing. */
  readonly path: string
  readonly roster: Roster
  readonly winningNumber: WinningNumber
  /** The draw's name; absent: that of a ledger that is there, or one from the time, of a new one. */
  readonly draw?: DrawName | undefined
  /** Of a new file. A chunk of the usual size fits into one; with smaller ones a commit costs half as much again. */
  readonly pageBytes?: number
  /** Each time that the write-ahead log has grown by this, it is copied into the file beside the commits. */
  readonly checkpointBytes?: number
  /** With this many pages in the log the writer itself copies the rest, so that it can be begun anew. */
  readonly walPagesMax?: number
  /** What is left of the log's file after a checkpoint that followed a surge. */
  readonly walBytesKept?: number
  /** How long an operation waits for another program that holds the file before it is LedgerUnavailable. */
  readonly busyTimeoutMs?: number
  /** How many chunks a start reads at most, beside the snapshot. */
  readonly snapshotChunks?: number
  /** How often it is looked whether the path still leads to the file that is written, beside after each commit. */
  readonly lookMs?: number
  /** Told once when the path no longer leads to that file, with what to do, and once when it does again (undefined). */
  readonly onDisplaced?: (problem: string | undefined) => void
}

/** The bounds of {@link BetLedgerOptions}. */
const ledgerDefaults = {
  ...writerDefaults,
  checkpointBytes: 1024 * 1024,
  lookMs: 1000
} as const

export class BetLedger extends Context.Service<BetLedger, {
  /** What the ledger held when it was opened. */
  readonly opened: {
    readonly agencies: ReadonlyMap<AgencyId, Standing>
    readonly draw: Option.Option<Draw>
    readonly drawName: DrawName
    /** Who has been told its winners; of others it isn't known. */
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
  /** Holds the draw and stores it with its winners in one transaction, or gives the one already held. */
  readonly holdDraw: Effect.Effect<Draw, LedgerUnavailable>
  /** Notes who was told its winners. Not at the same time as a commit. */
  readonly told: (records: ReadonlyArray<ToldRecord>) => Effect.Effect<void, LedgerUnavailable>
}>()("loteria-nacional/services/ledger/BetLedger") {
  /** An SQLite file, written and read in threads of their own. One process at a time. */
  static readonly layer = (
    options: BetLedgerOptions
  ): Layer.Layer<
    BetLedger,
    LedgerInUse | LedgerMismatch | LedgerUnreadable | LedgerUnavailable,
    Keeper
  > => Layer.effect(BetLedger, make(options))
}

/** A larger buffer than this isn't kept for the next group. */
const spareBytesMax = 4 * 1024 * 1024

const make = Effect.fnUntraced(function*(options: BetLedgerOptions) {
  const { draw, onDisplaced = () => {}, roster, winningNumber, ...settings } = options
  // Every thread opens this file, also should a link be changed meanwhile.
  const file = yield* findPlace(options.path)
  const config: WriterConfig & { readonly checkpointBytes: number; readonly lookMs: number } = {
    ...ledgerDefaults,
    ...settings,
    path: file,
    roster: formatRoster(roster),
    agencies: roster,
    winningNumber,
    draw
  }
  const reader = new ReplacedThread<ReaderRequest, ReaderReply>(
    new URL("./sqlite/ReaderThread.ts", import.meta.url),
    { path: config.path, busyTimeoutMs: config.busyTimeoutMs },
    (id) => ({ _tag: "Close", id })
  )
  /** With RESUME an agency is told the draw's name, and keeps to it. */
  let nameTold = false
  // Closed after everything that has the file open: see SyncedFile.ts.
  const synced = yield* Effect.acquireRelease(
    Effect.sync(() => new SyncedFile(config.path)),
    (opened) => Effect.sync(() => opened.close())
  )
  const writer = yield* Effect.acquireRelease(
    Effect.sync(() =>
      new LedgerThread<WriterRequest, WriterReply>(
        new URL("./sqlite/WriterThread.ts", import.meta.url),
        { ...config, path: path.resolve(options.path) }
      )
    ),
    // The reader first: a connection that reads keeps the log from being emptied.
    (thread, exit) => {
      const unused = isFailedStart(exit) && !nameTold
      return Effect.andThen(reader.close, thread.close((id) => ({ _tag: "Close", id, unused })))
    }
  )
  const opened = yield* writer.call((id) => ({ _tag: "Open", id })).pipe(
    Effect.catch((failure) => Effect.fail(toOpenError(options.path, failure)))
  )
  if (opened._tag !== "Opened") return yield* unexpected(opened)
  const drawName = yield* toDrawName(options.path, opened.drawName)
  const descriptor = yield* Effect.try({
    try: () => synced.open(),
    catch: (cause) => new LedgerUnavailable({ operation: "open", cause })
  })
  yield* Effect.mapError(reader.call((id) => ({ _tag: "Open", id })), toUnavailable("open"))
  const onStored = yield* runCheckpoints({ ...config, descriptor }).pipe(
    Effect.mapError(toUnavailable("open"))
  )
  const place = yield* watchPlace(writer, config.lookMs, onDisplaced)

  const toDraw = (record: DrawRecord): Draw => ({
    winningNumber: WinningNumber.make(record.winningNumber),
    winners: pick(roster, record.winners)
  })
  let spare: ArrayBuffer | undefined

  const commit = (group: ReadonlyArray<LedgerChunk>) =>
    Effect.suspend(() => {
      const buffer = encodeGroup(group, spare)
      spare = undefined
      return writer.call((id) => ({ _tag: "Commit", id, buffer }), [buffer])
    }).pipe(
      Effect.mapError((failure) => toUnavailable("commit")(place.noted(failure))),
      Effect.map((reply) => {
        if (reply._tag !== "Committed") return
        if (reply.buffer.byteLength <= spareBytesMax) spare = reply.buffer
        onStored(
          group.reduce((bytes, { body, numbers }) => bytes + body.length + numbers.length, 0)
        )
      }),
      Effect.uninterruptible
    )

  return BetLedger.of({
    opened: {
      agencies: pick(roster, opened.agencies),
      draw: Option.map(Option.fromUndefinedOr(opened.draw), toDraw),
      drawName,
      told: pick(roster, opened.told),
      isNew: opened.isNew
    },
    commit,
    ...readsOf(reader, place.displaced, () => {
      nameTold = true
    }),
    ...drawCalls(writer, toDraw, place.noted)
  })
})

/** What is asked of the reader's thread, which may find another file where the ledger was. */
const readsOf = (
  reader: ReplacedThread<ReaderRequest, ReaderReply>,
  displaced: () => Failure | undefined,
  onDigest: () => void
) => {
  const read = (operation: string, request: (id: number) => ReaderRequest) =>
    Effect.suspend(() => {
      const failure = displaced()
      return failure === undefined ? reader.call(request) : Effect.fail(failure)
    }).pipe(Effect.mapError(toUnavailable(operation)))

  const chunkAt = Effect.fnUntraced(function*(agency: AgencyId, seq: number) {
    const reply = yield* read("chunkAt", (id) => ({ _tag: "ChunkAt", id, agency, seq }))
    if (reply._tag !== "Chunk") return yield* unexpected(reply)
    return Option.map(Option.fromUndefinedOr(reply.chunk), (chunk) => ({ agency, seq, ...chunk }))
  })

  const readBets = Effect.fnUntraced(function*(agency: AgencyId, from: BetCursor, bytes: number) {
    const { offset, seq } = from
    const reply = yield* read(
      "readBets",
      (id) => ({ _tag: "ReadBets", id, agency, seq, offset, bytes })
    )
    return reply._tag === "Bets" ? reply.read : yield* unexpected(reply)
  })

  const digest = Effect.fnUntraced(function*(agency: AgencyId) {
    onDigest()
    const reply = yield* read("digest", (id) => ({ _tag: "Digest", id, agency }))
    return reply._tag === "Digested" ? reply.digest : yield* unexpected(reply)
  })

  return { chunkAt, readBets, digest }
}

/** An interruption is how a start is called off, and a server stopped. */
const isFailedStart = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)

/** What the configured path means; its folder is made where it is missing. */
const findPlace = (configured: string) =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(preparePlace(configured))
    } catch (error) {
      return Effect.fail(toOpenError(configured, toFailure(error)))
    }
  })

/** What is written of the draw. */
const drawCalls = (
  writer: LedgerThread<WriterRequest, WriterReply>,
  toDraw: (record: DrawRecord) => Draw,
  noted: (failure: Failure) => Failure
) => ({
  holdDraw: writer.call((id) => ({ _tag: "HoldDraw", id })).pipe(
    Effect.mapError((failure) => toUnavailable("holdDraw")(noted(failure))),
    Effect.flatMap((reply) =>
      reply._tag === "Drawn" ? Effect.succeed(toDraw(reply.draw)) : unexpected(reply)
    ),
    Effect.uninterruptible
  ),
  told: (records: ReadonlyArray<ToldRecord>) =>
    writer.call((id) => ({ _tag: "Told", id, records })).pipe(
      Effect.mapError((failure) => toUnavailable("told")(noted(failure))),
      Effect.asVoid,
      Effect.uninterruptible
    )
})

/** The entries of the roster's agencies: the threads know agencies as mere numbers. */
const pick = <A>(roster: Roster, all: ReadonlyMap<number, A>): ReadonlyMap<AgencyId, A> => {
  const picked = new Map<AgencyId, A>()
  for (const agency of roster) {
    const value = all.get(agency)
    if (value !== undefined) picked.set(agency, value)
  }
  return picked
}

const toDrawName = (file: string, name: string): Effect.Effect<DrawName, LedgerUnreadable> => {
  const problem = "its draw's name is not the name of a draw"
  return Effect.mapError(
    Schema.decodeUnknownEffect(DrawName)(name),
    () => new LedgerUnreadable({ path: file, problem })
  )
}

const toUnavailable = (operation: string) => (failure: Failure): LedgerUnavailable =>
  new LedgerUnavailable({
    operation,
    cause: new Error(describe(failure), { cause: failure })
  })

const describe = (failure: Failure): string => {
  switch (failure.kind) {
    case "Unavailable":
    case "Displaced":
    case "Defect":
      return failure.message
    case "Unreadable":
      return failure.problem
    case "InUse":
    case "Mismatch":
      return failure.kind
  }
}

const toOpenError = (file: string, failure: Failure) => {
  switch (failure.kind) {
    case "InUse":
      return new LedgerInUse({ path: file })
    case "Mismatch": {
      const { configured, ledger, what } = failure
      return new LedgerMismatch({ path: file, what, ledger, configured })
    }
    case "Unreadable":
      return new LedgerUnreadable({ path: file, problem: failure.problem })
    case "Unavailable":
    case "Displaced":
    case "Defect":
      return toUnavailable("open")(failure)
  }
}

const unexpected = (reply: { readonly _tag: string }): Effect.Effect<never> =>
  Effect.die(new Error(`the ledger's thread answered ${reply._tag}`))
