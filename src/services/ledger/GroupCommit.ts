/**
 * Group commit: chunks that were decided on while the disk was busy are stored together, in one transaction with one
 * sync. The order that everything rests on:
 *
 *     decide → open group → transaction → sync → settle
 *
 * A chunk is settled once its transaction is on disk, or its group has failed; never before. A failed group stores
 * nothing: each of its chunks is settled as not stored, or stays for the next try.
 *
 * Two groups take turns: while one is on its way to disk, the one before is settled and answered, and its clients' next
 * chunks are read, parsed and decided on. There is one writer, guarded by a permit that the draw takes too.
 */
import { Context, Effect, Fiber, Latch, Layer, Result, Semaphore } from "effect"
import { invariant } from "../../domain/Invariant.ts"
import { type BackoffBounds, backoffMs } from "../base/Backoff.ts"
import { Keeper } from "../base/Keeper.ts"
import { Lifetime } from "../base/Lifetime.ts"
import { type LogWriter, OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import { BetLedger, type LedgerUnavailable } from "./BetLedger.ts"
import { ChunksInHand, type Group, type PendingChunk } from "./ChunksInHand.ts"
import { OpenGroup } from "./OpenGroup.ts"

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
      const backoff = { firstMs: bounds.retryFirstMs, maxMs: bounds.retryMaxMs }
      const ledger = yield* BetLedger
      const keeper = yield* Keeper
      const trouble = new LedgerTrouble(backoff, yield* OperatorLog, yield* Lifetime)
      const permit = yield* Semaphore.make(1)
      const open = new OpenGroup(bounds)
      const inHand = new ChunksInHand()
      const notEmpty = yield* Latch.make(false)
      const due = yield* Latch.make(false)

      /** Waits for a group to store. After a failure it may be an empty one, which shows whether the ledger is back. */
      const gather = Effect.gen(function*() {
        if (trouble.retryMs > 0) yield* Effect.sleep(trouble.retryMs)
        else if (open.isEmpty) {
          notEmpty.closeUnsafe()
          yield* notEmpty.await
        }
        if (open.isEmpty || open.isDue) return
        due.closeUnsafe()
        yield* Effect.timeoutOption(due.await, bounds.gatherMs)
      })

      const store = (group: Group) =>
        permit.withPermit(ledger.commit(group.map(({ chunk }) => chunk)))

      /** On disk, and not settled yet. */
      let stored: Group = []
      const settleStored = Effect.suspend(() => {
        const group = stored
        stored = []
        return inHand.settleStored(group)
      })

      const round = Effect.gen(function*() {
        if (trouble.retryMs > 0 || !open.isDue) {
          yield* settleStored
          yield* Effect.interruptible(gather)
        }
        const group = open.take()
        const storing = yield* Effect.forkChild(Effect.result(store(group)), {
          startImmediately: true
        })
        // The writer is at work while the group before is settled and answered.
        yield* settleStored
        const outcome = yield* Fiber.join(storing)
        if (Result.isSuccess(outcome)) {
          trouble.over()
          invariant(stored.length === 0, "a group is settled before the next one is on disk")
          stored = group
        } else {
          trouble.failed(group, outcome.failure)
          open.putBack(inHand.settleFailed(group, trouble.retryMs))
        }
      })
      // Interrupted only while it gathers: then no group is on its way to disk, and none is on disk and not answered.
      const rounds = Effect.uninterruptible(Effect.forever(round, { disableYield: true }))
      // A defect here is one in the ledger's path: the process must not go on.
      yield* keeper.inLedgersPath("group commit", rounds)

      return GroupCommit.of({
        submit: (pending) => {
          inHand.enter(pending)
          open.push(pending)
          notEmpty.openUnsafe()
          if (open.isDue) due.openUnsafe()
        },
        expectFrames: (count) => open.expectFrames(count),
        frameParsed: () => {
          open.frameParsed()
          if (open.isDue) due.openUnsafe()
        },
        exclusively: (effect) => permit.withPermit(effect)
      })
    })
  )
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

  /** 0 while there is no trouble. */
  get retryMs(): number {
    return this.#failures === 0 ? 0 : backoffMs(this.#failures, this.#backoff)
  }

  failed(group: Group, failure: LedgerUnavailable): void {
    this.#failures++
    const problem = String(failure.cause)
    this.#lifetime.setTrouble("ledger", `nothing can be stored (${problem})`)
    if (group.length === 0) return
    this.#log.write("ERROR", "apuestas_almacenadas", "fail", {
      cantidad: group.reduce((bets, { chunk }) => bets + chunk.bets, 0),
      problem,
      retry_ms: this.retryMs
    })
  }

  over(): void {
    if (this.#failures > 0) this.#lifetime.setTrouble("ledger", undefined)
    this.#failures = 0
  }
}
