/** Which chunks go to the ledger together, when, and when they are answered. The ledger stores when the test says so. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import { AgencyId } from "../../../src/domain/Agency.ts"
import { Lifetime } from "../../../src/services/base/Lifetime.ts"
import {
  type Committed,
  type LedgerChunk,
  LedgerInDoubt,
  LedgerUnavailable
} from "../../../src/services/ledger/BetLedger.ts"
import { GroupCommit } from "../../../src/services/ledger/GroupCommit.ts"
import { plainChunk, underClaim } from "../../support/LedgerChunks.ts"
import { aroundLedger, ledgerStub } from "../../support/LedgerStub.ts"

/** Everything that happened, in order: `to disk: 1 2`, `stored: 1`, `failed: 1`. */
const committing = (
  ledgerSettings: Readonly<Record<string, number>> = {},
  afterFailure: "stay" | "settled" = "stay",
  groupsMax = 1
) =>
  Effect.gen(function*() {
    const events: Array<string> = []
    const disk: Array<Deferred.Deferred<Committed, LedgerUnavailable | LedgerInDoubt>> = []
    const numbered = (chunks: ReadonlyArray<LedgerChunk>) => chunks.map(({ seq }) => seq).join(" ")
    const ledger = ledgerStub({
      groupsMax,
      commit: (chunks) =>
        Effect.gen(function*() {
          events.push(`to disk: ${numbered(chunks)}`)
          const done = yield* Deferred.make<Committed, LedgerUnavailable | LedgerInDoubt>()
          disk.push(done)
          return yield* Deferred.await(done)
        })
    })
    const services = Layer.provideMerge(
      GroupCommit.layer,
      aroundLedger(ledger, { ledger: ledgerSettings })
    )
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(services, scope)
    const commits = yield* GroupCommit.pipe(Effect.provide(context))
    const lifetime = yield* Lifetime.pipe(Effect.provide(context))
    lifetime.setReady(true)
    return {
      unready: lifetime.unready,
      expectFrames: commits.expectFrames,
      frameParsed: commits.frameParsed,
      exclusively: commits.exclusively,
      submit: (...numbers: ReadonlyArray<number>) => {
        for (const number of numbers) {
          commits.submit({
            chunk: underClaim(plainChunk(AgencyId.make(number), number, 1)),
            onStored: () => {
              if (number === unsettling) throw new Error("planted by the test")
              events.push(`stored: ${number}`)
              return undefined
            },
            onFailed: () => {
              events.push(`failed: ${number}`)
              return afterFailure
            },
            onLost: (why) => events.push(`${why}: ${number}`)
          })
        }
      },
      ended: Effect.exit(Context.get(context, Lifetime).awaitEnd),
      /** What has happened since the last call, once nothing more happens by itself. */
      happened: settled.pipe(Effect.andThen(Effect.sync(() => events.splice(0)))),
      /** The disk has the oldest of what it was given. */
      sync: Effect.suspend(() => Deferred.succeed(disk.shift() ?? assert.fail(), noneFenced)),
      /** The same, but for an agency that was claimed anew. */
      fence: (number: number) =>
        Effect.suspend(() =>
          Deferred.succeed(disk.shift() ?? assert.fail(), {
            fenced: new Set([AgencyId.make(number)])
          })
        ),
      doubt: Effect.suspend(() =>
        Deferred.fail(
          disk.shift() ?? assert.fail(),
          new LedgerInDoubt({ cause: new Error("connection lost") })
        )
      ),
      break: Effect.suspend(() =>
        Deferred.fail(
          disk.shift() ?? assert.fail(),
          new LedgerUnavailable({ operation: "commit", cause: new Error("disk full") })
        )
      ),
      close: Scope.close(scope, Exit.void)
    }
  })

const noneFenced: Committed = { fenced: new Set() }

/** A chunk with this number can't be settled. */
const unsettling = 666

/** Fibers have done all that they can do without time passing. */
const settled = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })

describe("a group", () => {
  it.effect("holds what was decided while the last one was on its way to disk", () =>
    Effect.gen(function*() {
      const { happened, submit, sync } = yield* committing()
      submit(1)
      assert.deepStrictEqual(yield* happened, ["to disk: 1"])
      submit(2, 3)
      assert.deepStrictEqual(yield* happened, [])
      yield* sync
      assert.deepStrictEqual(yield* happened, ["to disk: 2 3", "stored: 1"])
      yield* sync
      assert.deepStrictEqual(yield* happened, ["stored: 2", "stored: 3"])
    }))

  it.effect("answers the others of a group when one of them can't be settled, and ends the server", () =>
    Effect.gen(function*() {
      const { ended, happened, submit, sync } = yield* committing()
      submit(1)
      assert.deepStrictEqual(yield* happened, ["to disk: 1"])
      submit(2, unsettling, 3)
      yield* sync
      assert.deepStrictEqual(yield* happened, ["to disk: 2 666 3", "stored: 1"])
      yield* sync
      assert.deepStrictEqual(yield* happened, ["stored: 2", "stored: 3"])
      const exit = yield* ended
      assert.match(
        Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "",
        /group commit failed: .*planted/s
      )
    }))

  it.effect("waits until it holds as many chunks as frames are being parsed", () =>
    Effect.gen(function*() {
      const { expectFrames, frameParsed, happened, submit } = yield* committing()
      expectFrames(4)
      submit(1)
      frameParsed()
      assert.deepStrictEqual(yield* happened, [])
      submit(2)
      frameParsed()
      assert.deepStrictEqual(yield* happened, ["to disk: 1 2"])
    }))

  it.effect("doesn't wait for frames of which no chunks came", () =>
    Effect.gen(function*() {
      const { expectFrames, frameParsed, happened, submit } = yield* committing()
      expectFrames(3)
      submit(1)
      frameParsed()
      assert.deepStrictEqual(yield* happened, [])
      frameParsed()
      assert.deepStrictEqual(yield* happened, ["to disk: 1"])
    }))

  it.effect("waits for frames no longer than it may, and not at all where it may not", () =>
    Effect.gen(function*() {
      const { expectFrames, happened, submit } = yield* committing({ gatherMs: 5 })
      expectFrames(3)
      submit(1)
      yield* settled
      yield* TestClock.adjust(4)
      assert.deepStrictEqual(yield* happened, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* happened, ["to disk: 1"])

      const hasty = yield* committing({ gatherMs: 0 })
      hasty.expectFrames(3)
      hasty.submit(1)
      assert.deepStrictEqual(yield* hasty.happened, ["to disk: 1"])
    }))

  it.effect("that is stored is answered before the next one is waited for", () =>
    Effect.gen(function*() {
      const { expectFrames, happened, submit, sync } = yield* committing()
      submit(1)
      yield* settled
      expectFrames(9)
      submit(2)
      yield* sync
      assert.deepStrictEqual(yield* happened, ["to disk: 1", "stored: 1"])
    }))

  it.effect("that failed is tried again with what came meanwhile, after a wait", () =>
    Effect.gen(function*() {
      const { break: breakDisk, happened, submit, sync } = yield* committing({ retryFirstMs: 50 })
      submit(1, 2)
      yield* settled
      submit(3)
      yield* breakDisk
      assert.deepStrictEqual(yield* happened, ["to disk: 1 2", "failed: 1", "failed: 2"])
      yield* TestClock.adjust(50)
      assert.deepStrictEqual(yield* happened, ["to disk: 1 2 3"])
      yield* sync
      assert.deepStrictEqual(yield* happened, ["stored: 1", "stored: 2", "stored: 3"])
    }))

  it.effect("that failed and was refused leaves the ledger in trouble until an empty one is stored", () =>
    Effect.gen(function*() {
      const { break: breakDisk, happened, submit, sync, unready } = yield* committing(
        { retryFirstMs: 50 },
        "settled"
      )
      submit(1)
      yield* settled
      yield* breakDisk
      assert.deepStrictEqual(yield* happened, ["to disk: 1", "failed: 1"])
      assert.match(unready().join(), /^ledger: nothing can be stored \(disk full\)/)
      yield* TestClock.adjust(50)
      assert.deepStrictEqual(yield* happened, ["to disk: "])
      yield* breakDisk
      yield* settled
      assert.lengthOf(unready(), 1)
      yield* TestClock.adjust(100)
      assert.deepStrictEqual(yield* happened, ["to disk: "])
      yield* sync
      yield* settled
      assert.deepStrictEqual(unready(), [])
      submit(2)
      assert.deepStrictEqual(yield* happened, ["to disk: 2"])
    }))

  it.effect("doesn't come sooner or later when a chunk comes while it waits for the next try", () =>
    Effect.gen(function*() {
      const { break: breakDisk, happened, submit } = yield* committing(
        { retryFirstMs: 50 },
        "settled"
      )
      submit(1)
      yield* settled
      yield* breakDisk
      yield* settled
      yield* TestClock.adjust(30)
      submit(2)
      yield* TestClock.adjust(19)
      assert.deepStrictEqual(yield* happened, ["to disk: 1", "failed: 1"])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* happened, ["to disk: 2"])
    }))

  it.effect("after one that was tried again with success waits for nothing", () =>
    Effect.gen(function*() {
      const { break: breakDisk, happened, submit, sync } = yield* committing({ retryFirstMs: 50 })
      submit(1)
      yield* settled
      yield* breakDisk
      yield* settled
      yield* TestClock.adjust(50)
      yield* sync
      assert.deepStrictEqual(
        yield* happened,
        ["to disk: 1", "failed: 1", "to disk: 1", "stored: 1"]
      )
      submit(2)
      assert.deepStrictEqual(yield* happened, ["to disk: 2"])
      yield* breakDisk
      yield* settled
      // The wait begins with the first again, too.
      yield* TestClock.adjust(50)
      assert.deepStrictEqual(yield* happened, ["failed: 2", "to disk: 2"])
    }))

  it.effect("that is on its way to disk is answered before group commit ends", () =>
    Effect.gen(function*() {
      const { close, happened, submit, sync } = yield* committing()
      submit(1)
      yield* settled
      const closing = yield* Effect.forkChild(close)
      yield* settled
      yield* sync
      yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* happened, ["to disk: 1", "stored: 1"])
    }))

  it.effect("goes to disk beside others, as many as the ledger takes, and each is answered when it is there", () =>
    Effect.gen(function*() {
      const { happened, submit, sync } = yield* committing({}, "stay", 2)
      submit(1)
      assert.deepStrictEqual(yield* happened, ["to disk: 1"])
      submit(2)
      assert.deepStrictEqual(yield* happened, ["to disk: 2"])
      submit(3, 4)
      assert.deepStrictEqual(yield* happened, [])
      yield* sync
      assert.deepStrictEqual(yield* happened, ["to disk: 3 4", "stored: 1"])
      yield* sync
      yield* sync
      assert.deepStrictEqual(yield* happened, ["stored: 2", "stored: 3", "stored: 4"])
    }))

  it.effect("that failed leaves one group at a time to find out, and those that fail with it count once", () =>
    Effect.gen(function*() {
      const { break: breakDisk, happened, submit, sync } = yield* committing(
        { retryFirstMs: 50 },
        "stay",
        2
      )
      submit(1)
      yield* settled
      submit(2)
      yield* settled
      yield* breakDisk
      yield* breakDisk
      submit(3)
      assert.deepStrictEqual(
        yield* happened,
        ["to disk: 1", "to disk: 2", "failed: 1", "failed: 2"]
      )
      yield* TestClock.adjust(50)
      assert.deepStrictEqual(yield* happened, ["to disk: 2 1 3"])
      submit(4)
      assert.deepStrictEqual(yield* happened, [])
      yield* sync
      assert.deepStrictEqual(
        yield* happened,
        ["to disk: 4", "stored: 2", "stored: 1", "stored: 3"]
      )
    }))

  it.effect("is stored but for the agencies that were claimed anew", () =>
    Effect.gen(function*() {
      const { fence, happened, submit } = yield* committing()
      submit(1)
      yield* settled
      submit(2, 3, 4)
      yield* fence(1)
      assert.deepStrictEqual(yield* happened, ["to disk: 1", "to disk: 2 3 4", "fenced: 1"])
      yield* fence(3)
      assert.deepStrictEqual(yield* happened, ["fenced: 3", "stored: 2", "stored: 4"])
      submit(3)
      assert.deepStrictEqual(yield* happened, ["to disk: 3"])
    }))

  it.effect("that is in doubt is never tried again, and is trouble until another one is stored", () =>
    Effect.gen(function*() {
      const { doubt, happened, submit, sync, unready } = yield* committing({ retryFirstMs: 50 })
      submit(1, 2)
      yield* settled
      yield* doubt
      assert.deepStrictEqual(
        yield* happened,
        ["to disk: 1 2", "in doubt: 1", "in doubt: 2"]
      )
      assert.match(unready().join(), /^ledger: nothing can be stored \(connection lost\)/)
      yield* TestClock.adjust(50)
      assert.deepStrictEqual(yield* happened, ["to disk: "])
      yield* sync
      yield* settled
      assert.deepStrictEqual(unready(), [])
    }))

  it.effect("has one chunk of an agency at most", () =>
    Effect.gen(function*() {
      const { happened, submit, sync } = yield* committing()
      submit(1)
      assert.throws(() => submit(1), /an agency has one chunk in hand at most/)
      assert.deepStrictEqual(yield* happened, ["to disk: 1"])
      assert.throws(() => submit(1), /an agency has one chunk in hand at most/)
      yield* sync
      assert.deepStrictEqual(yield* happened, ["stored: 1"])
      submit(1)
      assert.deepStrictEqual(yield* happened, ["to disk: 1"])
    }))

  it.effect("is not on its way to disk while something else has the ledger to itself, which waits for all that are", () =>
    Effect.gen(function*() {
      const { exclusively, happened, submit, sync } = yield* committing({}, "stay", 2)
      submit(8)
      yield* settled
      submit(9)
      yield* settled
      const waiting = yield* Effect.forkChild(exclusively(Effect.void), {
        startImmediately: true
      })
      submit(10)
      yield* sync
      assert.deepStrictEqual(yield* happened, ["to disk: 8", "to disk: 9", "stored: 8"])
      assert.isUndefined(waiting.pollUnsafe())
      yield* sync
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(yield* happened, ["stored: 9", "to disk: 10"])
      yield* sync
      assert.deepStrictEqual(yield* happened, ["stored: 10"])

      const other = yield* Deferred.make<void>()
      const holding = yield* Effect.forkChild(exclusively(Deferred.await(other)))
      yield* settled
      submit(1)
      assert.deepStrictEqual(yield* happened, [])
      yield* Deferred.succeed(other, undefined)
      yield* Fiber.join(holding)
      assert.deepStrictEqual(yield* happened, ["to disk: 1"])
    }))
})
