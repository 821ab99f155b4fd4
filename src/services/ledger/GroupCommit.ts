/**
 * Group commit: chunks that were decided while the disk was busy go into the next transaction together. One writer,
 * guarded by a semaphore that the draw takes too. A chunk is settled only after its transaction is on disk, or with
 * the failure of its group; a failed group stores nothing, and a chunk that asks for it stays for the next try.
 *
 * The order that everything rests on: decide → open group → transaction → sync → settle → answer.
 *
 * Two groups take turns: while one is on its way to disk, the other is answered, read, parsed and decided. So that they
 * are of a size, the open group is sent once it holds as many chunks as may still come to it from the parsers; else
 * the first chunk would go alone, and all others would wait for it.
 */
import { Cause, Context, Effect, Exit, Fiber, Latch, Layer, Option, Semaphore } from "effect"
import { invariant } from "../../domain/Invariant.ts"
import { backoffMs } from "../base/Backoff.ts"
import { Keeper } from "../base/Keeper.ts"
import { Lifetime } from "../base/Lifetime.ts"
import { type LogWriter, OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import { BetLedger, type LedgerChunk, type LedgerUnavailable } from "./BetLedger.ts"

export interface PendingChunk {
  readonly chunk: LedgerChunk
  /** Called once, when the chunk is on disk. What it gives back is run at once. */
  readonly onStored: () => Effect.Effect<void> | undefined
  /** Called when its group failed: whether it stays for the next try. If not, it is settled. */
  readonly onFailed: (retryAfterMs: number) => "stay" | "settled"
}

/**
 * All of the group are on disk: one that can't be settled is no reason not to answer the others. The defect comes
 * afterwards.
 */
const settleStoredGroup = Effect.fnUntraced(function*(group: ReadonlyArray<PendingChunk>) {
  let defect: Cause.Cause<never> | undefined
  const note = (cause: Cause.Cause<never>): void => {
    defect ??= cause
  }
  for (const pending of group) {
    try {
      const more = pending.onStored()
      if (more !== undefined) {
        yield* Effect.catchCause(more, (cause) => Effect.sync(() => note(cause)))
      }
    } catch (thrown) {
      note(Cause.die(thrown))
    }
  }
  if (defect !== undefined) yield* Effect.failCause(defect)
})

export class GroupCommit extends Context.Service<GroupCommit, {
  /** Puts a decided chunk into the open group and returns at once. */
  readonly submit: (pending: PendingChunk) => void
  /** This many frames are being parsed. The open group may wait for the chunks that come of them. */
  readonly expectFrames: (count: number) => void
  /** One of the expected frames is parsed. If a chunk came of it, the chunk has been submitted. */
  readonly frameParsed: () => void
  /** Runs an effect while no group is being stored. */
  readonly exclusively: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}>()("loteria-nacional/services/ledger/GroupCommit") {
  static readonly layer = Layer.effect(
    GroupCommit,
    Effect.gen(function*() {
      const { ledger: limits } = yield* Settings
      const ledger = yield* BetLedger
      const log = yield* OperatorLog
      const keeper = yield* Keeper
      const lifetime = yield* Lifetime
      const semaphore = yield* Semaphore.make(1)
      /** Open while the open group has a chunk in it. */
      const work = yield* Latch.make(false)
      /** Open when it holds at least half of what can be in it. */
      const due = yield* Latch.make(false)
      const open: Array<PendingChunk> = []
      let expected = 0
      /** How many groups in a row have failed. */
      let failures = 0
      let retryMs = 0

      const takeGroup = (): Array<PendingChunk> => {
        let bytes = 0
        let count = 0
        while (count < open.length && count < limits.groupChunksMax) {
          bytes += open[count]?.chunk.body.length ?? 0
          if (count > 0 && bytes > limits.groupBytesMax) break
          count++
        }
        return open.splice(0, count)
      }

      // A generator that is written down once: one made per group would each time leave V8 a map in its old space, which
      // keeps alive all that the generator sees, the whole group, until the next full collection.
      const settle = Effect.fnUntraced(function*(
        group: ReadonlyArray<PendingChunk>,
        exit: Exit.Exit<void, LedgerUnavailable>
      ) {
        if (Exit.isSuccess(exit)) {
          if (retryMs > 0) lifetime.setTrouble("ledger", undefined)
          failures = 0
          retryMs = 0
          return yield* settleStoredGroup(group)
        }
        const failure = Exit.findErrorOption(exit)
        if (failure._tag === "None") return yield* Effect.failCause(exit.cause)
        failures++
        retryMs = backoffMs(failures, { firstMs: limits.retryFirstMs, maxMs: limits.retryMaxMs })
        logFailed(log, group, failure.value, retryMs)
        lifetime.setTrouble("ledger", `nothing can be stored (${String(failure.value.cause)})`)
        const staying = group.filter((pending) => pending.onFailed(retryMs) === "stay")
        open.unshift(...staying)
      })

      const isDue = () => open.length > 0 && (open.length >= expected || limits.gatherMs === 0)

      const gather = Effect.gen(function*() {
        if (open.length === 0) {
          work.closeUnsafe()
          // Who was refused need not come again: an empty group finds out when there is room again.
          if (retryMs === 0) yield* work.await
          else if (Option.isNone(yield* Effect.timeoutOption(work.await, retryMs))) return
        }
        if (retryMs > 0) yield* Effect.sleep(retryMs)
        if (isDue()) return
        due.closeUnsafe()
        yield* Effect.timeoutOption(due.await, limits.gatherMs)
      })

      /** Settles the last group, if it is on disk and not settled. */
      let settleStored: Effect.Effect<void, LedgerUnavailable> = Effect.void
      const answer = Effect.suspend(() => {
        const settling = settleStored
        settleStored = Effect.void
        return settling
      })

      // Nothing is waited for, and nothing interrupted, while a group is stored and not answered.
      const rounds = Effect.uninterruptibleMask((interruptible) =>
        Effect.forever(
          Effect.gen(function*() {
            if (!isDue() || retryMs > 0) {
              yield* answer
              yield* interruptible(gather)
            }
            const group = takeGroup()
            const commit = yield* Effect.forkChild(
              semaphore.withPermit(ledger.commit(group.map(({ chunk }) => chunk))),
              { startImmediately: true }
            )
            // The writer is at work already while the answers of the group before are written.
            yield* answer
            const exit = yield* Fiber.await(commit)
            if (Exit.isFailure(exit)) yield* settle(group, exit)
            else settleStored = settle(group, exit)
          }),
          { disableYield: true }
        )
      )

      // A defect here is one in the ledger's path: the process must not go on.
      yield* keeper.inLedgersPath("group commit", rounds)

      return GroupCommit.of({
        submit: (pending) => {
          open.push(pending)
          if (open.length === 1) work.openUnsafe()
          if (isDue()) due.openUnsafe()
        },
        expectFrames: (count) => {
          expected += count
        },
        frameParsed: () => {
          expected--
          invariant(expected >= 0, "no more frames are parsed than were expected")
          if (isDue()) due.openUnsafe()
        },
        exclusively: (effect) => semaphore.withPermit(effect)
      })
    })
  )
}

const logFailed = (
  log: LogWriter,
  group: ReadonlyArray<PendingChunk>,
  failure: LedgerUnavailable,
  retryMs: number
): void => {
  if (group.length === 0) return
  log.write("ERROR", "apuestas_almacenadas", "fail", {
    cantidad: group.reduce((bets, pending) => bets + pending.chunk.bets, 0),
    problem: String(failure.cause),
    retry_ms: retryMs
  })
}
