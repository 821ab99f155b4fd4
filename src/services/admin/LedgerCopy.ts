/**
 * `ledger copy`: copies a ledger to another home: its lottery, its chunks, the draw, the winners, and who was told. The
 * copy can't be served before it is complete, and it is complete only when every row of it was compared with the ledger
 * that it was made of, and nothing was added to that one meanwhile. A copy that was cut short is compared as far as it
 * got, and continued.
 */
import { Effect, Schema, type Scope, Stream } from "effect"
import { existsSync, statSync } from "node:fs"
import { resolve } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { nothingStored, type Standing } from "../../domain/Standing.ts"
import { takePlace } from "../ledger/sqlite/LedgerPlace.ts"
import { firstDifference } from "./ChunkComparison.ts"
import { type CopyTarget, TargetOccupied } from "./CopyTarget.ts"
import type { ServersRunning } from "./DatabaseServers.ts"
import { type LedgerAddress, nameOf } from "./LedgerAddress.ts"
import { openStored } from "./OpenStored.ts"
import { attempt } from "./ReadLedger.ts"
import type { LedgerReadError, LedgerState, StoredChunk, StoredLedger } from "./StoredLedger.ts"

/** Servers write to the ledger that is copied. */
class SourceChanged extends Schema.TaggedError<SourceChanged>()("SourceChanged", {
  path: Schema.String
}) {
  override get message(): string {
    return `${this.path}: it was written to during the copy; stop its servers, and run the same command again, which `
      + "continues the copy"
  }
}

/** The copy isn't what it was made of. */
class CopyDiffers extends Schema.TaggedError<CopyDiffers>()("CopyDiffers", {
  path: Schema.String,
  place: Schema.String
}) {
  override get message(): string {
    return `${this.path}: the copy differs at ${this.place}; remove it, and copy again`
  }
}

export interface Copied {
  readonly drawName: string
  readonly chunks: number
  readonly bets: number
  /** Of the chunks, those that were there before. */
  readonly chunksBefore: number
}

type CopyError = LedgerReadError | ServersRunning | TargetOccupied | SourceChanged | CopyDiffers

export const copyLedger = Effect.fn("LedgerCopy.copyLedger")(function*(
  from: LedgerAddress,
  to: LedgerAddress
): Effect.fn.Return<Copied, CopyError, Scope.Scope> {
  if (yield* attempt("copy", nameOf(to), () => isSame(from, to))) {
    return yield* new TargetOccupied({ path: nameOf(to), what: "it is the ledger to copy" })
  }
  yield* requireStopped(from)
  if (typeof to !== "string") yield* requireStopped(to)
  const source = yield* openStored(from)
  const begun = yield* source.state("copy")
  const target = yield* openTarget(to, begun)
  const before = (yield* target.stored.state("copy")).standings
  yield* requireBeginning(source, target, before)
  if (!target.isComplete) {
    yield* append(source, target, before)
    const difference = yield* firstDifference(
      source.chunks("copy"),
      target.stored.chunks("copy")
    )
    if (difference !== undefined) yield* differsAt(source, target, difference)
  }
  const state = yield* source.state("copy")
  const there = yield* target.stored.state("copy")
  if (!isDeepStrictEqual(there.standings, state.standings)) {
    return yield* target.isComplete
      ? new TargetOccupied({ path: nameOf(to), what: "it is complete, and has fewer bets" })
      : new SourceChanged({ path: source.name })
  }
  if (!target.isComplete) yield* target.complete(state)
  const complete = yield* (yield* openStored(completeAddress(to, state))).state("copy")
  if (!isDeepStrictEqual(partsOf(complete), partsOf(state))) {
    return yield* new CopyDiffers({ path: nameOf(to), place: "its draw, or who was told" })
  }
  const standings = [...state.standings.values()]
  return {
    drawName: state.lottery.draw,
    chunks: sum(standings.map(({ seq }) => seq)),
    bets: sum(standings.map(({ bets }) => bets)),
    chunksBefore: sum([...before.values()].map(({ seq }) => seq))
  }
}, Effect.scoped)

/** A copy has the name of its draw, so within one database it would be the original. */
const isSame = (from: LedgerAddress, to: LedgerAddress): boolean => {
  if (typeof from === "string" || typeof to === "string") {
    if (typeof from !== "string" || typeof to !== "string") return false
    const [one, other] = [from, to].map((path) => statSync(path, { throwIfNoEntry: false }))
    return one !== undefined && one.ino === other?.ino && one.dev === other.dev
  }
  const [one, other] = [from.url, to.url]
  return one.host === other.host && one.port === other.port && one.database === other.database
}

/** No server writes to the ledger; to one in a file none can before the copy ends. The target's file is held later. */
const requireStopped = Effect.fnUntraced(function*(
  address: LedgerAddress
): Effect.fn.Return<void, LedgerReadError | ServersRunning, Scope.Scope> {
  if (typeof address === "string") {
    if (existsSync(address)) yield* holdFile(address)
    return
  }
  const { requireNoServersAt } = yield* Effect.promise(() => import("./DatabaseServers.ts"))
  yield* requireNoServersAt(address.url, "copy")
})

const holdFile = (path: string) =>
  Effect.acquireRelease(
    attempt("copy", path, () => takePlace(resolve(path))),
    ({ lock }) => Effect.sync(() => lock.close())
  )

const openTarget = Effect.fnUntraced(function*(
  to: LedgerAddress,
  { lottery }: LedgerState
): Effect.fn.Return<CopyTarget, LedgerReadError | TargetOccupied, Scope.Scope> {
  if (typeof to === "string") {
    const { openFileTarget } = yield* Effect.promise(() => import("./FileCopyTarget.ts"))
    return yield* openFileTarget(to, lottery)
  }
  const { openDatabaseTarget } = yield* Effect.promise(() => import("./DatabaseCopyTarget.ts"))
  return yield* openDatabaseTarget(to.url, lottery)
})

/** In a database the copy has the name of its draw. */
const completeAddress = (to: LedgerAddress, { lottery }: LedgerState): LedgerAddress =>
  typeof to === "string" ? to : { url: to.url, draw: lottery.draw }

/** Fails unless everything that is in the target is the source's. */
const requireBeginning = Effect.fnUntraced(function*(
  source: StoredLedger,
  { stored }: CopyTarget,
  before: ReadonlyMap<number, Standing>
) {
  if (before.size === 0) return
  const known = Stream.map(
    source.chunks("copy"),
    (chunks) => chunks.filter(({ agency, seq }) => seq <= (before.get(agency) ?? nothingStored).seq)
  )
  const difference = yield* firstDifference(known, stored.chunks("copy"))
  if (difference === undefined) return
  const { agency, seq } = difference
  const what = `its chunk ${seq} of agency ${agency} is not that of ${source.name}`
  return yield* new TargetOccupied({ path: stored.name, what })
})

const append = (
  source: StoredLedger,
  target: CopyTarget,
  before: ReadonlyMap<number, Standing>
): Effect.Effect<void, LedgerReadError> =>
  Stream.runForEach(source.chunks("copy"), (chunks) => {
    const next = chunks.filter(({ agency, seq }) => seq > (before.get(agency) ?? nothingStored).seq)
    return next.length === 0 ? Effect.void : target.append(next)
  })

/** A chunk that only the source has may have been stored since. */
const differsAt = Effect.fnUntraced(function*(
  source: StoredLedger,
  { stored }: CopyTarget,
  { agency, seq }: StoredChunk
) {
  const copied = (yield* stored.state("copy")).standings.get(agency) ?? nothingStored
  if (seq > copied.seq) return yield* new SourceChanged({ path: source.name })
  const place = `chunk ${seq} of agency ${agency}`
  return yield* new CopyDiffers({ path: stored.name, place })
})

/** What a ledger holds besides its chunks, without what its home adds. */
const partsOf = ({ held, lottery, standings, told }: LedgerState) => ({
  lottery: [lottery.draw, lottery.roster, lottery.winningNumber, lottery.beganAt],
  standings,
  draw: held?.draw,
  winners: held?.winners,
  told
})

const sum = (values: ReadonlyArray<number>): number =>
  values.reduce((total, value) => total + value, 0)
