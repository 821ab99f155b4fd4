/**
 * Group commit: chunks that were decided on while the disk was busy are stored together, in one transaction with one
 * sync. The order that everything rests on:
 *
 *     decide → open group → transaction → sync → settle → answer
 *
 * A chunk is settled once its transaction is on disk, or its group has failed; never before. A failed group stores
 * nothing: each of its chunks is settled as not stored, or stays for the next try.
 *
 * Two groups take turns: while one is on its way to disk, the one before is settled and answered, and its clients' next
 * chunks are read, parsed and decided on. There is one writer, guarded by a permit that the draw takes too.
 */
import { type Cause, Context, Effect, Exit, Fiber, Latch, Layer, Result, Semaphore } from "effect"
import type { AgencyId } from "../../domain/Agency.ts"
import { invariant } from "../../domain/Invariant.ts"
import { type BackoffBounds, backoffMs } from "../base/Backoff.ts"
import { Keeper } from "../base/Keeper.ts"
import { Lifetime } from "../base/Lifetime.ts"
import { type LogWriter, OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import { BetLedger, type LedgerUnavailable } from "./BetLedger.ts"
import { OpenGroup, type PendingChunk } from "./OpenGroup.ts"

type Group = ReadonlyArray<PendingChunk>

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
      const inHand = new AgenciesInHand()
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
        return settle(group, inHand)
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
          open.putBack(refuse(group, trouble.retryMs, inHand))
        }
      })
      // Interrupted only while it gathers: then no group is on its way to disk, and none is on disk and not answered.
      const rounds = Effect.uninterruptible(Effect.forever(round, { disableYield: true }))
      // A defect here is one in the ledger's path: the process must not go on.
      yield* keeper.inLedgersPath("group commit", rounds)

      return GroupCommit.of({
        submit: (pending) => {
          inHand.enter(pending.chunk.agency)
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

/** The agencies that have a chunk between decision and settling: one each, which is settled once. */
class AgenciesInHand {
  readonly #agencies = new Set<AgencyId>()

  enter(agency: AgencyId): void {
    invariant(!this.#agencies.has(agency), "an agency has one chunk in hand at most")
    this.#agencies.add(agency)
  }

  leave(agency: AgencyId): void {
    invariant(this.#agencies.delete(agency), "a chunk is settled once")
  }
}

/**
 * Settles every chunk of a group that is on disk, also after one whose settling had a defect, which comes out at the
 * end. Written down once: a generator function made anew for each group would each time leave V8 a map in its old space,
 * which keeps alive all that the generator sees, the whole group, until the next full collection.
 */
const settle = Effect.fnUntraced(function*(group: Group, inHand: AgenciesInHand) {
  let defect: Cause.Cause<never> | undefined
  for (const pending of group) {
    const left = settleStoredChunk(pending, inHand)
    if (left === undefined) continue
    const exit = yield* Effect.exit(left)
    if (Exit.isFailure(exit)) defect ??= exit.cause
  }
  if (defect !== undefined) yield* Effect.failCause(defect)
})

/** What settling it leaves to do. */
const settleStoredChunk = (
  { chunk, onStored }: PendingChunk,
  inHand: AgenciesInHand
): Effect.Effect<void> | undefined => {
  try {
    inHand.leave(chunk.agency)
    return onStored()
  } catch (defect) {
    return Effect.die(defect)
  }
}

/** Settles the chunks of a group that failed, but for those that stay for the next try, which are given back. */
const refuse = (group: Group, retryAfterMs: number, inHand: AgenciesInHand): Group =>
  group.filter(({ chunk, onFailed }) => {
    const stays = onFailed(retryAfterMs) === "stay"
    if (!stays) inHand.leave(chunk.agency)
    return stays
  })

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
