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
import { Effect, Layer, Option } from "effect"
import { createHash } from "node:crypto"
import { type AgencyId, formatRoster, type Roster } from "../../src/domain/Agency.ts"
import { csvOfBody } from "../../src/domain/Csv.ts"
import { type Draw, DrawName, type ToldRecord, type WinningNumber } from "../../src/domain/Draw.ts"
import { laterTold } from "../../src/domain/LaterTold.ts"
import type { BetCursor } from "../../src/domain/ReplayRule.ts"
import { nothingStored, type Standing } from "../../src/domain/Standing.ts"
import {
  BetLedger,
  type LedgerChunk,
  LedgerMismatch,
  LedgerUnavailable
} from "../../src/services/ledger/BetLedger.ts"

export interface LedgerWorld {
  /** Runs something after as long as an operation takes. */
  readonly later: (operation: Operation, run: () => void) => void
  /** Whether the operation that is due fails. */
  readonly fails: (operation: Operation) => boolean
  readonly onStored: (chunk: LedgerChunk) => void
  readonly onDrawn: (draw: Draw) => void
  readonly onDrawAsked: () => void
  readonly onToldNoted: (agency: AgencyId, told: ToldRecord) => void
  readonly onDrawKnown: () => void
  readonly onMisuse: (problem: string) => void
}

type Operation = "commit" | "draw" | "read" | "news"

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
  readonly #stored = new Map<AgencyId, Array<LedgerChunk>>()
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
      const agencies = new Map(lottery.roster.map((agency) => [agency, this.#recordOf(agency)]))
      return Effect.succeed(BetLedger.of({
        opened: {
          agencies,
          draw: Option.fromUndefinedOr(this.#draw),
          drawName: simulatedDraw,
          told: new Map(this.#told),
          isNew: this.#stored.size === 0
        },
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

  #chunksOf(agency: AgencyId): ReadonlyArray<LedgerChunk> {
    return this.#stored.get(agency) ?? []
  }

  #recordOf(agency: AgencyId): Standing {
    return this.#chunksOf(agency).reduce<Standing>(
      ({ bets }, chunk) => ({ seq: chunk.seq, bets: bets + chunk.bets, finished: chunk.last }),
      nothingStored
    )
  }

  #commit({ roster }: LedgerLottery, group: ReadonlyArray<LedgerChunk>): Effect.Effect<void> {
    if (this.#draw !== undefined) return defect("a chunk came after the draw")
    const after = new Map<AgencyId, { readonly seq: number; readonly finished: boolean }>()
    for (const { agency, bets, body, last, numbers, seq } of group) {
      const known = after.get(agency) ?? this.#recordOf(agency)
      if (!roster.includes(agency)) return defect(`agency ${agency} is not in the roster`)
      if (known.finished) return defect(`agency ${agency} had finished`)
      if (seq !== known.seq + 1) return defect(`agency ${agency}: ${seq} after ${known.seq}`)
      const ends = bets === 0 ? body.length === 0 : body.at(-1) === 0x0a && body.length > bets * 8
      if (numbers.length !== 2 * bets || !ends) return defect("not as long as its bets")
      after.set(agency, { seq, finished: last })
    }
    for (const chunk of group) {
      const chunks = this.#stored.get(chunk.agency) ?? []
      this.#stored.set(chunk.agency, [...chunks, chunk])
      this.#world.onStored(chunk)
    }
    return Effect.void
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

  #chunkAt(agency: AgencyId, seq: number): Option.Option<LedgerChunk> {
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

  #holdDraw({ roster, winningNumber }: LedgerLottery): Effect.Effect<Draw> {
    if (this.#draw !== undefined) return Effect.succeed(this.#draw)
    const selling = roster.find((agency) => !this.#recordOf(agency).finished)
    if (selling !== undefined) return defect(`the draw before agency ${selling} finished`)
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
    return Effect.succeed(this.#draw)
  }
}

const unavailable = (operation: string) =>
  new LedgerUnavailable({ operation, cause: new Error("the simulated disk failed") })

const defect = (problem: string): Effect.Effect<never> => Effect.die(new Error(problem))
