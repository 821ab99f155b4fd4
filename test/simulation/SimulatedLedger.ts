/**
 * A ledger in memory whose disk outlives the server: `open` is one life of the process, what is in `#stored` is what is
 * on disk. Faults, each under the seed's control:
 *
 * - slow: a commit, a read or the draw takes up to seconds;
 * - failing: an operation ends in LedgerUnavailable, and nothing of it is stored;
 * - crash: operations in hand get no answer. A group or draw in hand is on disk or not, whole either way; what was
 *   acknowledged stays;
 * - between the disk and the news of it is time, in which everything else can happen.
 *
 * Like the real one it dies of what would break the count, and stores groups whole or not at all.
 */
import { Effect, Layer, Option, Stream } from "effect"
import { createHash } from "node:crypto"
import { type AgencyId, formatRoster, type Roster } from "../../src/domain/Agency.ts"
import { type Claim, Epoch } from "../../src/domain/Claim.ts"
import { csvOfBody } from "../../src/domain/Csv.ts"
import { type Draw, DrawName, type ToldRecord, type WinningNumber } from "../../src/domain/Draw.ts"
import { laterTold } from "../../src/domain/LaterTold.ts"
import type { BetCursor } from "../../src/domain/ReplayRule.ts"
import { nothingStored, type Standing } from "../../src/domain/Standing.ts"
import {
  BetLedger,
  type Committed,
  type LedgerChunk,
  LedgerMismatch,
  LedgerUnavailable,
  type StoredChunk
} from "../../src/services/ledger/BetLedger.ts"

export interface LedgerWorld {
  /** Runs something after as long as an operation takes. */
  readonly later: (operation: Operation, run: () => void) => void
  /** Whether the operation that is due fails. */
  readonly fails: (operation: Operation) => boolean
  readonly onStored: (chunk: StoredChunk) => void
  readonly onDrawn: (draw: Draw) => void
  readonly onDrawAsked: () => void
  readonly onToldNoted: (agency: AgencyId, told: ToldRecord) => void
  readonly onDrawKnown: () => void
  readonly onMisuse: (problem: string) => void
}

type Operation = "commit" | "draw" | "read" | "claim" | "news"

export interface LedgerLottery {
  readonly roster: Roster
  readonly winningNumber: WinningNumber
}

/** One opened ledger. After `crash` nothing of it answers any more. */
export interface LedgerLife {
  readonly layer: Layer.Layer<BetLedger, LedgerMismatch>
  readonly crash: (inHandReachesDisk: () => boolean) => void
}

/** What its draw is called, in every life. */
export const simulatedDraw = DrawName.make("simulated")

export class SimulatedLedger {
  readonly #world: LedgerWorld
  readonly #stored = new Map<AgencyId, Array<StoredChunk>>()
  readonly #epochs = new Map<AgencyId, number>()
  #lottery: LedgerLottery | undefined
  #draw: Draw | undefined
  readonly #told = new Map<AgencyId, ToldRecord>()

  constructor(world: LedgerWorld) {
    this.#world = world
  }

  open(lottery: LedgerLottery): LedgerLife {
    let dead = false
    /** The write in hand: what a crash would leave of it. */
    let writing: (() => void) | undefined
    let busy = false
    let onIdle: (() => void) | undefined

    const operation = <A>(
      name: Operation,
      work: () => Effect.Effect<A>
    ): Effect.Effect<A, LedgerUnavailable> =>
      Effect.callback<A, LedgerUnavailable>((resume) => {
        this.#world.later(name, () => {
          if (dead) return
          const fails = this.#world.fails(name)
          const result = fails ? Effect.fail(unavailable(name)) : work()
          this.#world.later("news", () => {
            if (!dead) resume(result)
          })
        })
      })

    const write = <A>(name: "commit" | "draw", work: () => Effect.Effect<A>) =>
      Effect.suspend(() => {
        if (writing !== undefined) {
          this.#world.onMisuse("the ledger was to write two things at once")
        }
        busy = true
        writing = () => void work()
        return operation(name, () => {
          writing = undefined
          return work()
        })
      }).pipe(
        Effect.onExit(() =>
          Effect.sync(() => {
            busy = false
            writing = undefined
            onIdle?.()
          })
        ),
        Effect.uninterruptible
      )

    /** To close a ledger is to wait for what is being written. */
    const closed = Effect.callback<void>((resume) => {
      onIdle = () => resume(Effect.void)
      if (!busy) onIdle()
    })

    const make = Effect.suspend(() => {
      const mismatch = this.#mismatch(lottery)
      if (mismatch !== undefined) return Effect.fail(mismatch)
      const standings = lottery.roster.map((agency) => this.#recordOf(agency))
      return Effect.succeed(BetLedger.of({
        opened: {
          drawName: simulatedDraw,
          isNew: this.#stored.size === 0,
          bets: standings.reduce((sum, { bets }) => sum + bets, 0),
          finished: standings.filter(({ finished }) => finished).length
        },
        groupsMax: 1,
        news: Stream.never,
        claim: (agency) =>
          operation("claim", () =>
            lottery.roster.includes(agency)
              ? Effect.succeed(this.#claim(agency))
              : defect(`agency ${agency} is not in the roster`)),
        standing: Effect.sync(() => ({
          finished: new Set(
            lottery.roster.filter((agency) => this.#recordOf(agency).finished)
          ),
          draw: Option.fromUndefinedOr(this.#draw)
        })),
        toldRecords: Effect.sync(() => new Map(this.#told)),
        commit: (group) => write("commit", () => this.#commit(lottery, group)),
        chunkAt: (agency, seq) =>
          operation("read", () => Effect.succeed(this.#chunkAt(agency, seq))),
        readBets: (agency, from, bytes) =>
          operation("read", () => Effect.succeed(this.#readBets(agency, from, bytes))),
        digest: (agency) => operation("read", () => Effect.succeed(this.#digest(agency))),
        told: (records) => write("commit", () => this.#noteTold(lottery, records)),
        holdDraw: Effect.sync(this.#world.onDrawAsked).pipe(
          Effect.andThen(write("draw", () => this.#holdDraw(lottery))),
          Effect.tap(() => Effect.sync(this.#world.onDrawKnown))
        )
      }))
    })

    return {
      layer: Layer.effect(BetLedger, Effect.acquireRelease(make, () => closed)),
      crash: (inHandReachesDisk) => {
        dead = true
        if (writing !== undefined && inHandReachesDisk()) writing()
      }
    }
  }

  #mismatch({ roster, winningNumber }: LedgerLottery): LedgerMismatch | undefined {
    const begun = this.#lottery ??= { roster, winningNumber }
    const differs = (what: "agencies" | "winning number", ledger: string, configured: string) =>
      ledger === configured
        ? undefined
        : new LedgerMismatch({ path: "(in memory)", what, ledger, configured })
    return differs("agencies", formatRoster(begun.roster), formatRoster(roster))
      ?? differs("winning number", String(begun.winningNumber), String(winningNumber))
  }

  #chunksOf(agency: AgencyId): ReadonlyArray<StoredChunk> {
    return this.#stored.get(agency) ?? []
  }

  #recordOf(agency: AgencyId): Standing {
    return this.#chunksOf(agency).reduce<Standing>(
      ({ bets }, chunk) => ({ seq: chunk.seq, bets: bets + chunk.bets, finished: chunk.last }),
      nothingStored
    )
  }

  #claim(agency: AgencyId): Claim {
    const epoch = (this.#epochs.get(agency) ?? 0) + 1
    this.#epochs.set(agency, epoch)
    return { ...this.#recordOf(agency), epoch: Epoch.make(epoch) }
  }

  #commit({ roster }: LedgerLottery, given: ReadonlyArray<LedgerChunk>): Effect.Effect<Committed> {
    const fenced = new Set(
      given.filter(({ agency, epoch }) => this.#epochs.get(agency) !== epoch)
        .map(({ agency }) => agency)
        .filter((agency) => roster.includes(agency))
    )
    const group = given.filter(({ agency }) => !fenced.has(agency))
    if (group.length > 0 && this.#draw !== undefined) return defect("a chunk came after the draw")
    const after = new Map<AgencyId, Standing>()
    for (const { agency, bets, body, last, numbers, seq, total } of group) {
      const known = after.get(agency) ?? this.#recordOf(agency)
      if (!roster.includes(agency)) return defect(`agency ${agency} is not in the roster`)
      if (known.finished) return defect(`agency ${agency} had finished`)
      if (seq !== known.seq + 1) return defect(`agency ${agency}: ${seq} after ${known.seq}`)
      const ends = bets === 0 ? body.length === 0 : body.at(-1) === 0x0a && body.length > bets * 8
      if (numbers.length !== 2 * bets || !ends) return defect("not as long as its bets")
      if (total !== known.bets + bets) return defect(`agency ${agency}: ${total} bets in all`)
      after.set(agency, { seq, bets: total, finished: last })
    }
    for (const { agency, bets, body, last, numbers, seq } of group) {
      const chunk = { agency, seq, last, bets, numbers, body }
      this.#stored.set(agency, [...this.#chunksOf(agency), chunk])
      this.#world.onStored(chunk)
    }
    return Effect.succeed({ fenced })
  }

  #noteTold(
    { roster }: LedgerLottery,
    records: ReadonlyArray<ToldRecord>
  ): Effect.Effect<void> {
    for (const agency of roster) {
      const record = records.find((each) => each.agency === agency)
      if (record === undefined) continue
      const told = laterTold(this.#told.get(agency), record)
      this.#told.set(agency, told)
      this.#world.onToldNoted(agency, told)
    }
    return Effect.void
  }

  #chunkAt(agency: AgencyId, seq: number): Option.Option<StoredChunk> {
    return Option.fromUndefinedOr(this.#chunksOf(agency)[seq - 1])
  }

  #readBets(agency: AgencyId, from: BetCursor, bytes: number) {
    const pieces: Array<Uint8Array> = []
    let wanted = bytes
    let next = from
    for (const { body, seq } of this.#chunksOf(agency).slice(from.seq - 1)) {
      const piece = body.subarray(next.offset, next.offset + wanted)
      pieces.push(piece)
      wanted -= piece.length
      const end = next.offset + piece.length
      next = end === body.length ? { seq: seq + 1, offset: 0 } : { seq, offset: end }
      if (wanted === 0) break
    }
    return { bytes: new Uint8Array(Buffer.concat(pieces)), next }
  }

  #digest(agency: AgencyId) {
    const hash = createHash("sha256")
    for (const { body } of this.#chunksOf(agency)) hash.update(csvOfBody(agency, body))
    const { bets, seq } = this.#recordOf(agency)
    return { seq, bets, digest: hash.digest("hex") }
  }

  #holdDraw({ roster, winningNumber }: LedgerLottery): Effect.Effect<Option.Option<Draw>> {
    if (this.#draw !== undefined) return Effect.succeedSome(this.#draw)
    if (roster.some((agency) => !this.#recordOf(agency).finished)) return Effect.succeedNone
    const winners = new Map<AgencyId, ReadonlyArray<string>>()
    for (const agency of roster) {
      const documents = this.#chunksOf(agency).flatMap(({ body }) =>
        Buffer.from(body).toString().split("\n").map((record) => record.split("\t"))
          .filter(([, , , , number]) => number !== undefined && Number(number) === winningNumber)
          .map(([, , document]) => document ?? "")
      )
      if (documents.length > 0) winners.set(agency, documents)
    }
    this.#draw = { winningNumber, winners }
    this.#world.onDrawn(this.#draw)
    return Effect.succeedSome(this.#draw)
  }
}

const unavailable = (operation: string) =>
  new LedgerUnavailable({ operation, cause: new Error("the simulated disk failed") })

const defect = (problem: string): Effect.Effect<never> => Effect.die(new Error(problem))
