/**
 * A ledger of one server, as the embedded one: `open` is one life of the process, what is in `LedgerDisk` is what is on
 * disk. Faults, each under the seed's control:
 *
 * - slow: a commit, a read or the draw takes up to seconds;
 * - failing: an operation ends in LedgerUnavailable, and nothing of it is stored;
 * - crash: operations in hand get no answer. A group or draw in hand is on disk or not, whole either way; what was
 *   acknowledged stays;
 * - between the disk and the news of it is time, in which everything else can happen.
 */
import { Effect, Layer, Stream } from "effect"
import {
  BetLedger,
  type LedgerMismatch,
  LedgerUnavailable
} from "../../src/services/ledger/BetLedger.ts"
import { type DiskWorld, LedgerDisk, type LedgerLottery } from "./LedgerDisk.ts"

export interface LedgerWorld extends DiskWorld {
  /** Runs something after as long as an operation of this life takes. */
  readonly later: (operation: Operation, run: () => void, by: number) => void
  /** Whether the operation that is due fails. */
  readonly fails: (operation: Operation) => boolean
  readonly onDrawAsked: (by: number) => void
  readonly onDrawKnown: (by: number) => void
  readonly onMisuse: (problem: string) => void
}

export type Operation = "commit" | "draw" | "told" | "read" | "claim" | "news"

/** The process that opens a ledger: one life of a server. */
export interface LedgerProcess {
  readonly life: number
  /** Lets something happen in the process, when it isn't stopped any more. */
  readonly deliver: (run: () => void) => void
}

/** One opened ledger. After `crash` nothing of it answers any more. */
export interface LedgerLife {
  readonly layer: Layer.Layer<BetLedger, LedgerMismatch>
  readonly crash: (inHandReachesDisk: () => boolean) => void
}

/** What servers open, again and again. */
export interface SimulatedHome {
  readonly open: (lottery: LedgerLottery, process: LedgerProcess) => LedgerLife
}

export class SimulatedLedger implements SimulatedHome {
  readonly #world: LedgerWorld
  readonly #disk: LedgerDisk

  constructor(world: LedgerWorld) {
    this.#world = world
    this.#disk = new LedgerDisk(world)
  }

  open(lottery: LedgerLottery, { deliver, life }: LedgerProcess): LedgerLife {
    const world = this.#world
    const disk = this.#disk
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
        world.later(name, () => {
          if (dead) return
          const fails = world.fails(name)
          const result = fails ? Effect.fail(unavailable(name)) : work()
          world.later("news", () => deliver(() => resume(result)), life)
        }, life)
      })

    const write = <A>(name: "commit" | "draw" | "told", work: () => Effect.Effect<A>) =>
      Effect.suspend(() => {
        if (writing !== undefined) world.onMisuse("the ledger was to write two things at once")
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

    const make = Effect.map(Effect.suspend(() => disk.begin(lottery)), (opened) =>
      BetLedger.of({
        opened,
        groupsMax: 1,
        news: Stream.never,
        claim: (agency) =>
          operation("claim", () => {
            const stored = disk.recordOf(agency)
            return Effect.map(disk.claim(agency, life), (epoch) => ({ ...stored, epoch }))
          }),
        standing: Effect.sync(() => disk.standing),
        toldRecords: Effect.sync(() => disk.toldRecords),
        commit: (group) => write("commit", () => disk.commit(group, life)),
        chunkAt: (agency, seq) =>
          operation("read", () => Effect.succeed(disk.chunkAt(agency, seq))),
        readBets: (agency, from, bytes) =>
          operation("read", () => Effect.succeed(disk.readBets(agency, from, bytes))),
        digest: (agency) => operation("read", () => Effect.succeed(disk.digest(agency))),
        told: (records) => write("told", () => disk.noteTold(records)),
        holdDraw: Effect.sync(() => world.onDrawAsked(life)).pipe(
          Effect.andThen(write("draw", () => disk.holdDraw())),
          Effect.tap(() => Effect.sync(() => world.onDrawKnown(life)))
        )
      }))

    return {
      layer: Layer.effect(BetLedger, Effect.acquireRelease(make, () => closed)),
      crash: (inHandReachesDisk) => {
        dead = true
        if (writing !== undefined && inHandReachesDisk()) writing()
      }
    }
  }
}

const unavailable = (operation: string) =>
  new LedgerUnavailable({ operation, cause: new Error("the simulated disk failed") })
