/**
 * Group commit: chunks that were decided on while the disk was busy are stored together, in one transaction with one
 * sync. The order that everything rests on:
 *
 *     decide → open group → transaction → sync → settle
 *
 * A chunk is settled once its transaction is on disk, or its group has failed or is in doubt; never before. A failed
 * group stores nothing: each of its chunks is settled as not stored, or stays for the next try. Nothing is known of a
 * group in doubt, so its chunks are never tried again: their agencies are claimed anew first.
 *
 * As many groups are on their way to disk at once as the ledger takes. While they are, the groups before are settled and
 * answered, and their clients' next chunks are read, parsed and decided on. Permits guard the way to disk; the draw takes
 * all of them.
 */
import { Cause, Context, Effect, Exit, Latch, Layer, Option, Semaphore } from "effect"
import { type BackoffBounds, backoffMs } from "../base/Backoff.ts"
import { Keeper } from "../base/Keeper.ts"
import { Lifetime } from "../base/Lifetime.ts"
import { type LogWriter, OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import {
  BetLedger,
  type Committed,
  type LedgerInDoubt,
  type LedgerUnavailable
} from "./BetLedger.ts"
import { ChunksInHand, type Group, type PendingChunk } from "./ChunksInHand.ts"
import { type GroupBounds, OpenGroup } from "./OpenGroup.ts"

export class GroupCommit extends Context.Service<GroupCommit, {
  /** Puts a chunk that was decided on into the open group, and returns at once. */
  readonly submit: (pending: PendingChunk) => void
  /** This many frames are being parsed. The open group may wait for the chunks that come of them. */
  readonly expectFrames: (count: number) => void
  /** One of the expected frames is parsed. If a chunk came of it, the chunk has been submitted. */
  readonly frameParsed: () => void
  /** Runs an effect while no group is on its way to disk. */
  readonly exclusively: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}>()("loteria-nacional/services/ledger/GroupCommit") {
  static readonly layer = Layer.effect(
    GroupCommit,
    Effect.gen(function*() {
      const { ledger: bounds } = yield* Settings
      const ledger = yield* BetLedger
      const keeper = yield* Keeper
      const backoff = { firstMs: bounds.retryFirstMs, maxMs: bounds.retryMaxMs }
      const rounds = new Rounds({
        ledger,
        bounds,
        permits: yield* Semaphore.make(ledger.groupsMax),
        trouble: new LedgerTrouble(backoff, yield* OperatorLog, yield* Lifetime)
      })
      // A defect here is one in the ledger's path: the process must not go on.
      yield* keeper.inLedgersPath("group commit", rounds.run)
      return GroupCommit.of({
        submit: (pending) => rounds.submit(pending),
        expectFrames: (count) => rounds.expectFrames(count),
        frameParsed: () => rounds.frameParsed(),
        exclusively: (effect) => rounds.exclusively(effect)
      })
    })
  )
}

interface RoundsOptions {
  readonly ledger: BetLedger["Service"]
  readonly bounds: GroupBounds & { readonly retryFirstMs: number }
  readonly permits: Semaphore.Semaphore
  readonly trouble: LedgerTrouble
}

class Rounds {
  readonly #options: RoundsOptions
  readonly #open: OpenGroup
  readonly #inHand = new ChunksInHand()
  readonly #ended: Array<Ended> = []
  #underWay = 0
  /** Effects that run, or wait to run, while no group is on its way. No further group is sent meanwhile. */
  #exclusive = 0
  /** What the loop waits for, besides the end of a group. */
  #awaits: "nothing" | "chunk" | "due" = "nothing"
  readonly #wake = Latch.makeUnsafe(false)

  constructor(options: RoundsOptions) {
    this.#options = options
    this.#open = new OpenGroup(options.bounds)
  }

  submit(pending: PendingChunk): void {
    this.#inHand.enter(pending)
    this.#open.push(pending)
    if (this.#awaits === "chunk") this.#wake.openUnsafe()
    else this.#wakeWhenDue()
  }

  expectFrames(count: number): void {
    this.#open.expectFrames(count)
  }

  frameParsed(): void {
    this.#open.frameParsed()
    this.#wakeWhenDue()
  }

  #wakeWhenDue(): void {
    if (this.#awaits === "due" && this.#open.isDue) this.#wake.openUnsafe()
  }

  exclusively<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    const { ledger, permits } = this.#options
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        this.#exclusive++
      }),
      () => permits.withPermits(ledger.groupsMax)(effect),
      () =>
        Effect.sync(() => {
          this.#exclusive--
          this.#wake.openUnsafe()
        })
    )
  }

  /** Interrupted only while it waits. Groups that are on their way then are settled before it ends. */
  get run(): Effect.Effect<never> {
    const rounds = Effect.uninterruptible(Effect.forever(this.#round, { disableYield: true }))
    return Effect.onInterrupt(rounds, () => this.#settleUnderWay())
  }

  readonly #round = Effect.gen({ self: this }, function*() {
    while (this.#mayStore) yield* this.#store()
    yield* this.#settleEnded()
    if (this.#mayStore) return
    if (yield* Effect.interruptible(this.#gather)) yield* this.#store()
  })

  get #mayStore(): boolean {
    const { ledger, trouble } = this.#options
    return this.#exclusive === 0 && trouble.retryMs === 0 && this.#underWay < ledger.groupsMax
      && this.#open.isDue
  }

  /** Sends a group. That is done at once: the writer is at work while the groups before are settled and answered. */
  #store(): Effect.Effect<unknown> {
    const { ledger, permits, trouble } = this.#options
    const group = this.#open.take()
    const { failures } = trouble
    this.#underWay++
    return permits.withPermit(ledger.commit(group.map(({ chunk }) => chunk))).pipe(
      Effect.exit,
      Effect.map((exit) => {
        this.#underWay--
        if (Exit.isSuccess(exit)) trouble.over()
        else trouble.failed(group, exit.cause, failures)
        this.#ended.push({ group, exit })
        this.#wake.openUnsafe()
      }),
      Effect.uninterruptible,
      Effect.forkChild({ startImmediately: true })
    )
  }

  /** Waits. Gives whether a group is to be sent although it isn't due. */
  readonly #gather = Effect.gen({ self: this }, function*() {
    const { bounds, ledger, trouble } = this.#options
    if (this.#exclusive > 0 || this.#underWay >= (trouble.retryMs > 0 ? 1 : ledger.groupsMax)) {
      yield* this.#await("nothing")
      return false
    }
    if (trouble.retryMs > 0) {
      yield* Effect.sleep(trouble.retryMs)
      // It may be an empty group, which finds out whether the ledger is back.
      return this.#exclusive === 0
    }
    if (this.#open.isEmpty) {
      yield* this.#await("chunk")
      return false
    }
    yield* Effect.timeoutOption(this.#await("due"), bounds.gatherMs)
    return this.#ended.length === 0 && this.#exclusive === 0
  })

  /** Returns when a group has ended, when one may be sent, or else when what is awaited is there. */
  #await(what: "nothing" | "chunk" | "due"): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#ended.length > 0 || this.#mayStore) return Effect.void
      this.#awaits = what
      return this.#wakened()
    })
  }

  #wakened(): Effect.Effect<void> {
    this.#wake.closeUnsafe()
    return this.#wake.await
  }

  #settleEnded(): Effect.Effect<void> {
    const next = this.#ended.shift()
    return next === undefined
      ? Effect.void
      : Effect.flatMap(this.#settle(next), () => this.#settleEnded())
  }

  #settle({ exit, group }: Ended): Effect.Effect<void> {
    if (Exit.isSuccess(exit)) {
      const { fenced } = exit.value
      if (fenced.size === 0) return this.#inHand.settleStored(group)
      this.#inHand.settleLost(group.filter(({ chunk }) => fenced.has(chunk.agency)), "fenced")
      return this.#inHand.settleStored(group.filter(({ chunk }) => !fenced.has(chunk.agency)))
    }
    const failure = Cause.findErrorOption(exit.cause)
    if (Option.isNone(failure)) return Effect.die(Cause.squash(exit.cause))
    if (failure.value._tag === "LedgerInDoubt") this.#inHand.settleLost(group, "in doubt")
    else {
      // The trouble may be over already, by a group that was under way beside this one.
      const { bounds: { retryFirstMs }, trouble: { retryMs } } = this.#options
      this.#open.putBack(this.#inHand.settleFailed(group, Math.max(retryMs, retryFirstMs)))
    }
    return Effect.void
  }

  #settleUnderWay(): Effect.Effect<void> {
    return Effect.flatMap(this.#settleEnded(), () =>
      this.#underWay === 0
        ? Effect.void
        : Effect.flatMap(this.#wakened(), () => this.#settleUnderWay()))
  }
}

/** A group that is not on its way to disk any more. */
interface Ended {
  readonly group: Group
  readonly exit: Exit.Exit<Committed, LedgerUnavailable | LedgerInDoubt>
}

/** From the first group that failed until one is stored: how long to wait for the next try, and what operators see. */
class LedgerTrouble {
  readonly #backoff: BackoffBounds
  readonly #log: LogWriter
  readonly #lifetime: Lifetime["Service"]
  #failures = 0

  constructor(backoff: BackoffBounds, log: LogWriter, lifetime: Lifetime["Service"]) {
    this.#backoff = backoff
    this.#log = log
    this.#lifetime = lifetime
  }

  /** In a row. */
  get failures(): number {
    return this.#failures
  }

  /** 0 while there is no trouble. */
  get retryMs(): number {
    return this.#failures === 0 ? 0 : backoffMs(this.#failures, this.#backoff)
  }

  /** `before`: the failures when the group was sent. Groups that fail together are one failure. */
  failed(
    group: Group,
    cause: Cause.Cause<LedgerUnavailable | LedgerInDoubt>,
    before: number
  ): void {
    const failure = Option.getOrUndefined(Cause.findErrorOption(cause))
    if (failure === undefined) return
    this.#failures = Math.max(this.#failures, before + 1)
    const { problem } = failure
    this.#lifetime.setTrouble("ledger", `nothing can be stored (${problem})`)
    if (group.length === 0) return
    const bets = group.reduce((sum, { chunk }) => sum + chunk.bets, 0)
    const details = { cantidad: bets, problem, retry_ms: this.retryMs }
    if (failure._tag === "LedgerUnavailable") {
      this.#log.write("ERROR", "apuestas_almacenadas", "fail", details)
    } else {
      this.#log.write("ERROR", "commit_in_doubt", "fail", { chunks: group.length, ...details })
    }
  }

  over(): void {
    if (this.#failures > 0) this.#lifetime.setTrouble("ledger", undefined)
    this.#failures = 0
  }
}
