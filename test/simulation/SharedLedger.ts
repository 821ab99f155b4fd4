/**
 * A ledger that several servers share, as the one in PostgreSQL: `open` is one connection of one life of a server, and
 * what a server sends is a statement, which travels, waits for the rows that it locks, is executed, and is answered. Faults,
 * besides those of SimulatedLedger.ts:
 *
 * - a lost answer: the server gives its statement up after a while, as LedgerInDoubt if it is a commit. The statement
 *   may be executed nevertheless, before or after that, also seconds later, or never arrive;
 * - a crash of the server: what it had sent is executed, or never arrives; what is being executed goes on;
 * - a claim, a draw or a note that fails for its server, and is stored;
 * - news that come late, or not at all. Then only the poll brings them.
 *
 * What locks are for: a claim waits for the commits of its agency that are being executed, and they for it. What is
 * executed after a claim has another epoch than it, and is not stored.
 */
import { Effect, Exit, Layer, Option, Queue, Stream } from "effect"
import type { AgencyId } from "../../src/domain/Agency.ts"
import type { Claim } from "../../src/domain/Claim.ts"
import {
  BetLedger,
  type Committed,
  type LedgerChunk,
  LedgerInDoubt,
  LedgerUnavailable,
  type News
} from "../../src/services/ledger/BetLedger.ts"
import { LedgerDisk, type LedgerLottery } from "./LedgerDisk.ts"
import { RowLocks } from "./RowLocks.ts"
import type {
  LedgerLife,
  LedgerProcess,
  LedgerWorld,
  Operation,
  SimulatedHome
} from "./SimulatedLedger.ts"

export interface SharedWorld extends LedgerWorld {
  /** Lets a statement arrive, or not, and gives it up if its answer is lost. */
  readonly send: (statement: Sent) => void
  /** Brings news, or not. */
  readonly bring: (hear: () => void) => void
  /** A statement waits for rows that another one has locked. */
  readonly onWaiting: (operation: Operation) => void
  /** A group is in doubt, and its outcome is or becomes known here. */
  readonly onDoubt: (outcome: "stored" | "stored later" | "fenced") => void
}

interface Sent {
  readonly operation: Operation
  /** An agency finishes with it. */
  readonly finishes: boolean
  /** `answered`: its answer, if it is in time, is not lost. */
  readonly arrive: (answered: boolean) => void
  readonly giveUp: () => void
}

export interface SharedOptions {
  readonly groupsMax: number
  readonly pollMs: number
}

interface Listener {
  readonly life: number
  readonly hear: (news: News) => void
}

/** What all openings have in common. */
interface Home {
  readonly world: SharedWorld
  readonly options: SharedOptions
  readonly disk: LedgerDisk
  readonly locks: RowLocks
  readonly listeners: Set<Listener>
  /** Which life has claimed an agency last: the one to tell when another one does. */
  readonly holders: Map<AgencyId, number>
}

export class SharedLedger implements SimulatedHome {
  readonly #home: Home

  constructor(world: SharedWorld, options: SharedOptions) {
    const disk = new LedgerDisk(world)
    this.#home = {
      world,
      options,
      disk,
      locks: new RowLocks(),
      listeners: new Set(),
      holders: new Map()
    }
  }

  open(lottery: LedgerLottery, process: LedgerProcess): LedgerLife {
    const opening = new Opening(this.#home, process)
    return {
      layer: Layer.effect(
        BetLedger,
        Effect.acquireRelease(opening.make(lottery), () => opening.closed)
      ),
      crash: (inHandReachesHome) => opening.crash(inHandReachesHome)
    }
  }
}

/** A statement that was executed. Called later, without its locks, it gives the answer. */
type Executed<A> = () => Effect.Effect<A>

interface Statement<A, E> {
  readonly operation: Operation
  readonly finishes?: boolean
  /** The agencies whose rows it locks. */
  readonly locks?: Iterable<AgencyId>
  readonly execute: () => Executed<A>
  /** What is said of it when its answer is lost. */
  readonly givenUp?: (cause: Error) => E
}

class Opening {
  readonly #home: Home
  readonly #process: LedgerProcess
  readonly #underWay = new Set<ReadonlySet<AgencyId>>()
  #exclusive = 0
  #arrives: (() => boolean) | undefined
  #onIdle: (() => void) | undefined

  constructor(home: Home, process: LedgerProcess) {
    this.#home = home
    this.#process = process
  }

  /** After it nothing is answered. Of each statement that is still on its way `arrives` says whether it arrives. */
  crash(arrives: () => boolean): void {
    this.#arrives = arrives
    const { listeners } = this.#home
    for (const listener of listeners) {
      if (listener.life === this.#process.life) listeners.delete(listener)
    }
  }

  make(lottery: LedgerLottery) {
    const { disk, options: { groupsMax } } = this.#home
    return Effect.map(Effect.suspend(() => disk.begin(lottery)), (opened) =>
      BetLedger.of({
        opened,
        groupsMax,
        news: this.#news,
        claim: (agency) => this.#claim(agency),
        commit: (group) => this.#commit(group),
        chunkAt: (agency, seq) => this.#read(() => disk.chunkAt(agency, seq)),
        readBets: (agency, from, bytes) => this.#read(() => disk.readBets(agency, from, bytes)),
        digest: (agency) => this.#read(() => disk.digest(agency)),
        standing: this.#standing,
        holdDraw: this.#holdDraw,
        told: (records) => {
          const execute = () => {
            const noted = disk.noteTold(records)
            return () => noted
          }
          return this.#alone(this.#statement({ operation: "told", execute }))
        },
        toldRecords: this.#read(() => disk.toldRecords)
      }))
  }

  /** To close a connection is to wait for the answers to what was written. */
  get closed(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      this.#onIdle = () => {
        if (this.#underWay.size === 0 && this.#exclusive === 0) resume(Effect.void)
      }
      this.#onIdle()
    })
  }

  // ---- statements

  #statement<A, E = never>(
    { execute, finishes = false, givenUp, locks = [], operation }: Statement<A, E>
  ): Effect.Effect<A, LedgerUnavailable | E> {
    const { locks: rowLocks, world } = this.#home
    const { deliver, life } = this.#process
    return Effect.callback<A, LedgerUnavailable | E>((resume) => {
      let over = false
      const answer = (result: Effect.Effect<A, LedgerUnavailable | E>) => {
        if (over) return
        over = true
        resume(result)
      }
      const run = (unlock: () => void, answered: boolean) => {
        const executed = world.fails(operation) ? () => fails(operation) : execute()
        unlock()
        if (!answered) return
        world.later("news", () => {
          const result = executed()
          deliver(() => answer(result))
        }, life)
      }
      const arrive = (answered: boolean) => {
        if (this.#arrives?.() === false) return
        const isFree = rowLocks.take(locks, (unlock) => {
          world.later(operation, () => run(unlock, answered), life)
        })
        if (!isFree) world.onWaiting(operation)
      }
      const giveUp = () => {
        const cause = new Error("the connection broke")
        deliver(() => answer(Effect.fail(givenUp?.(cause) ?? unavailable(operation, cause))))
      }
      world.send({ operation, finishes, arrive, giveUp })
    })
  }

  #read<A>(look: () => A): Effect.Effect<A, LedgerUnavailable> {
    const execute = () => {
      const seen = look()
      return () => Effect.succeed(seen)
    }
    return this.#statement({ operation: "read", execute })
  }

  #claim(agency: AgencyId): Effect.Effect<Claim, LedgerUnavailable> {
    const { disk, holders } = this.#home
    const { life } = this.#process
    const execute = () => {
      const claimed = disk.claim(agency, life)
      const before = holders.get(agency)
      holders.set(agency, life)
      if (Exit.isSuccess(claimed)) {
        this.#tell({ _tag: "Claimed", agency, epoch: claimed.value }, (other) => other === before)
      }
      // A statement of its own: what was stored while the claim waited is not in the snapshot of the claim.
      return () => {
        const stored = disk.recordOf(agency)
        return Effect.map(claimed, (epoch) => ({ ...stored, epoch }))
      }
    }
    return this.#statement({ operation: "claim", locks: [agency], execute })
  }

  #commit(
    group: ReadonlyArray<LedgerChunk>
  ): Effect.Effect<Committed, LedgerUnavailable | LedgerInDoubt> {
    const { disk, world } = this.#home
    const agencies = new Set(group.map(({ agency }) => agency))
    let outcome: "stored" | "fenced" | undefined
    let inDoubt = false
    const execute = () => {
      const committed = disk.commit(group, this.#process.life)
      outcome = Exit.isSuccess(committed) && committed.value.fenced.size > 0 ? "fenced" : "stored"
      if (inDoubt) world.onDoubt(outcome === "stored" ? "stored later" : outcome)
      return () => committed
    }
    const givenUp = (cause: Error) => {
      inDoubt = true
      if (outcome !== undefined) world.onDoubt(outcome)
      return new LedgerInDoubt({ cause })
    }
    const finishes = group.some(({ last }) => last)
    return Effect.sync(() => {
      this.#beginGroup(agencies)
    }).pipe(
      Effect.andThen(
        this.#statement({ operation: "commit", finishes, locks: agencies, execute, givenUp })
      ),
      Effect.onExit(() =>
        Effect.sync(() => {
          this.#underWay.delete(agencies)
          this.#onIdle?.()
        })
      ),
      Effect.uninterruptible
    )
  }

  #beginGroup(agencies: ReadonlySet<AgencyId>): void {
    const { options: { groupsMax }, world } = this.#home
    if (this.#exclusive > 0) world.onMisuse("a group was sent beside a draw or a note")
    if (this.#underWay.size >= groupsMax) world.onMisuse("too many groups were under way")
    for (const agency of agencies) {
      if ([...this.#underWay].some((other) => other.has(agency))) {
        world.onMisuse("two groups of an agency were under way")
      }
    }
    this.#underWay.add(agencies)
  }

  /** What doesn't go together with a group of the same server. */
  #alone<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        if (this.#underWay.size > 0) {
          this.#home.world.onMisuse("a draw or a note was sent beside a group")
        }
        this.#exclusive++
      }),
      () => Effect.uninterruptible(effect),
      () =>
        Effect.sync(() => {
          this.#exclusive--
          this.#onIdle?.()
        })
    )
  }

  // ---- the lottery

  get #standing() {
    const { disk, world } = this.#home
    return Effect.tap(this.#read(() => disk.standing), ({ draw }) =>
      Effect.sync(() => {
        if (Option.isSome(draw)) world.onDrawKnown(this.#process.life)
      }))
  }

  get #holdDraw() {
    const { disk, world } = this.#home
    const { life } = this.#process
    const execute = () => {
      const held = disk.holdDraw()
      this.#tell({ _tag: "Changed" })
      return () => held
    }
    return Effect.sync(() => world.onDrawAsked(life)).pipe(
      Effect.andThen(this.#alone(this.#statement({ operation: "draw", execute }))),
      Effect.tap((held) =>
        Effect.sync(() => {
          if (Option.isSome(held)) world.onDrawKnown(life)
        })
      )
    )
  }

  // ---- news

  #tell(news: News, concerns: (life: number) => boolean = () => true): void {
    const { listeners, world } = this.#home
    for (const { hear, life } of listeners) {
      if (life !== this.#process.life && concerns(life)) world.bring(() => hear(news))
    }
  }

  get #news(): Stream.Stream<News> {
    const { listeners, options: { pollMs } } = this.#home
    const { deliver, life } = this.#process
    return Stream.callback<News>((queue) => {
      const listener: Listener = {
        life,
        hear: (news) => deliver(() => Queue.offerUnsafe(queue, news))
      }
      const poll = Effect.andThen(
        Effect.sleep(pollMs),
        Effect.sync(() => Queue.offerUnsafe(queue, { _tag: "Changed" }))
      )
      const listening = Effect.acquireRelease(
        Effect.sync(() => listeners.add(listener)),
        () => Effect.sync(() => listeners.delete(listener))
      )
      return Effect.andThen(listening, Effect.forever(poll))
    })
  }
}

const unavailable = (operation: Operation, cause: Error) =>
  new LedgerUnavailable({ operation, cause })

const fails = (operation: Operation) =>
  Effect.fail(unavailable(operation, new Error("the simulated database failed")))
