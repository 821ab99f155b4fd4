/**
 * The writes of the SQLite ledger, which its writer thread carries out, and what they change of what is known. None of
 * them is interrupted.
 */
import { Effect, Latch, Option } from "effect"
import type { AgencyId, Roster } from "../../../domain/Agency.ts"
import type { Claim } from "../../../domain/Claim.ts"
import type { Draw, ToldRecord } from "../../../domain/Draw.ts"
import { invariant } from "../../../domain/Invariant.ts"
import { laterTold } from "../../../domain/LaterTold.ts"
import type { Committed, LedgerChunk, LedgerUnavailable, LotteryStanding } from "../BetLedger.ts"
import type { DrawRecord } from "../sqlite/DrawTable.ts"
import { encodeGroup } from "../sqlite/GroupBuffer.ts"
import type { WriterReply, WriterRequest } from "../sqlite/ThreadMessages.ts"
import type { Claims } from "./Claims.ts"
import { type LedgerThread, unexpectedReply } from "./LedgerThread.ts"
import { unavailableIn } from "./TypedErrors.ts"
import type { WatchedPlace } from "./WatchedPlace.ts"

/** A larger buffer than this isn't kept for the next group. */
const spareBytesMax = 4 * 1024 * 1024

export interface LedgerWritesOptions {
  readonly writer: LedgerThread<WriterRequest, WriterReply>
  readonly place: WatchedPlace
  readonly roster: Roster
  readonly claims: Claims
  readonly draw: DrawRecord | undefined
  readonly told: ReadonlyMap<number, ToldRecord>
  readonly toDraw: (record: DrawRecord) => Draw
  /** Called with the bytes of each group that is on disk. */
  readonly onStored: (bytes: number) => void
}

export class LedgerWrites {
  readonly #options: LedgerWritesOptions
  readonly #told: Map<number, ToldRecord>
  #draw: Option.Option<Draw>
  #spare: ArrayBuffer | undefined
  #writing = false
  /** On its way to disk. */
  #group: ReadonlyArray<LedgerChunk> = []
  readonly #written = Latch.makeUnsafe(false)

  constructor(options: LedgerWritesOptions) {
    this.#options = options
    this.#told = new Map(options.told)
    this.#draw = Option.map(Option.fromUndefinedOr(options.draw), options.toDraw)
  }

  /** Answered at once, unless a chunk of the agency is on its way: what becomes of it belongs to the answer. */
  readonly claim = (agency: AgencyId): Effect.Effect<Claim> =>
    Effect.suspend(() => {
      if (!this.#group.some((chunk) => chunk.agency === agency)) {
        return Effect.succeed(this.#options.claims.claim(agency))
      }
      this.#written.closeUnsafe()
      return Effect.andThen(this.#written.await, this.claim(agency))
    })

  readonly commit = (
    given: ReadonlyArray<LedgerChunk>
  ): Effect.Effect<Committed, LedgerUnavailable> =>
    Effect.suspend(() => {
      const fenced = this.#options.claims.fenced(given)
      const group = fenced.size === 0 ? given : given.filter(({ agency }) => !fenced.has(agency))
      const committed: Committed = { fenced }
      // An empty group was meant to find out whether anything can be stored.
      if (group.length === 0 && given.length > 0) return Effect.succeed(committed)
      return Effect.as(this.#store(group), committed)
    }).pipe(Effect.uninterruptible)

  #store(group: ReadonlyArray<LedgerChunk>): Effect.Effect<void, LedgerUnavailable> {
    const buffer = encodeGroup(group, this.#spare)
    this.#spare = undefined
    this.#group = group
    return Effect.map(
      this.#write("commit", (id) => ({ _tag: "Commit", id, buffer }), [buffer]),
      (reply) => {
        if (reply._tag !== "Committed") return
        const { claims, onStored } = this.#options
        claims.settle(group)
        if (reply.buffer.byteLength <= spareBytesMax) this.#spare = reply.buffer
        onStored(
          group.reduce((bytes, { body, numbers }) => bytes + body.length + numbers.length, 0)
        )
      }
    ).pipe(Effect.ensuring(this.#groupEnded))
  }

  readonly #groupEnded = Effect.sync(() => {
    this.#group = []
    this.#written.openUnsafe()
  })

  readonly holdDraw: Effect.Effect<Option.Option<Draw>, LedgerUnavailable> = Effect.suspend(() => {
    const { claims, roster, toDraw } = this.#options
    if (claims.finished.size < roster.length) return Effect.succeedNone
    return Effect.flatMap(
      this.#write("holdDraw", (id) => ({ _tag: "HoldDraw", id })),
      (reply) => {
        if (reply._tag !== "Drawn") return unexpectedReply(reply)
        this.#draw = Option.some(toDraw(reply.draw))
        return Effect.succeed(this.#draw)
      }
    )
  }).pipe(Effect.uninterruptible)

  readonly standing: Effect.Effect<LotteryStanding> = Effect.sync(() => ({
    finished: this.#options.claims.finished,
    draw: this.#draw
  }))

  readonly told = (
    records: ReadonlyArray<ToldRecord>
  ): Effect.Effect<void, LedgerUnavailable> =>
    Effect.suspend(() => this.#write("told", (id) => ({ _tag: "Told", id, records }))).pipe(
      Effect.map(() => {
        for (const record of records) {
          this.#told.set(record.agency, laterTold(this.#told.get(record.agency), record))
        }
      }),
      Effect.uninterruptible
    )

  /** Of the roster's agencies. */
  readonly toldRecords: Effect.Effect<ReadonlyMap<AgencyId, ToldRecord>> = Effect.sync(() =>
    ofRoster(this.#options.roster, this.#told)
  )

  #write(
    operation: string,
    make: (id: number) => WriterRequest,
    transfer?: ReadonlyArray<ArrayBuffer>
  ): Effect.Effect<WriterReply, LedgerUnavailable> {
    invariant(!this.#writing, "the ledger is asked for one write at a time")
    this.#writing = true
    const { place, writer } = this.#options
    return writer.call(make, transfer).pipe(
      Effect.mapError((failure) => unavailableIn(operation)(place.noted(failure))),
      Effect.ensuring(this.#ended)
    )
  }

  readonly #ended = Effect.sync(() => {
    this.#writing = false
  })
}

/** The entries of the roster's agencies: to the threads an agency is a mere number. */
export const ofRoster = <A>(
  roster: Roster,
  all: ReadonlyMap<number, A>
): ReadonlyMap<AgencyId, A> => {
  const picked = new Map<AgencyId, A>()
  for (const agency of roster) {
    const value = all.get(agency)
    if (value !== undefined) picked.set(agency, value)
  }
  return picked
}
