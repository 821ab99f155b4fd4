/** What is written of agencies that were told their winners, when, and when the server is done. The ledger is a stub. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import { TestClock } from "effect/testing"
import { AgencyId } from "../../../src/domain/Agency.ts"
import type { ToldRecord } from "../../../src/domain/Draw.ts"
import { Lifetime } from "../../../src/services/base/Lifetime.ts"
import { type Sent, Told } from "../../../src/services/draw/Told.ts"
import { LedgerUnavailable } from "../../../src/services/ledger/BetLedger.ts"
import { GroupCommit } from "../../../src/services/ledger/GroupCommit.ts"
import { aroundLedger, ledgerStub } from "../../support/LedgerStub.ts"

const [one, two] = [AgencyId.make(1), AgencyId.make(2)]
const diskFull = new LedgerUnavailable({ operation: "told", cause: new Error("disk full") })

/** Two agencies. A write ends when the test says so; what was given to it reads `1 sent, cut off; 2 confirmed`. */
const toldOf = Effect.fnUntraced(function*(
  exitWhenServed = false,
  records: ReadonlyArray<ToldRecord> = []
) {
  const writes: Array<string> = []
  const disk: Array<Deferred.Deferred<void, LedgerUnavailable>> = []
  const ledger = ledgerStub({
    toldRecords: Effect.sync(() =>
      new Map(records.map((record) => [AgencyId.make(record.agency), record]))
    ),
    told: (written) =>
      Effect.gen(function*() {
        writes.push(
          written.map(({ agency, how, served }) => `${agency} ${how}${served ? "" : ", cut off"}`)
            .join("; ")
        )
        const done = yield* Deferred.make<void, LedgerUnavailable>()
        disk.push(done)
        yield* Deferred.await(done)
      })
  })
  const scope = yield* Scope.make()
  const settings = {
    lottery: { agencies: 2, exitWhenServed },
    ledger: { retryFirstMs: 50 }
  }
  const context = yield* Layer.buildWithScope(
    Told.layer.pipe(
      Layer.provideMerge(GroupCommit.layer),
      Layer.provideMerge(aroundLedger(ledger, settings))
    ),
    scope
  )
  const end = yield* Effect.forkChild(Context.get(context, Lifetime).awaitEnd)
  const last = Effect.suspend(() => Effect.succeed(disk.at(-1) ?? assert.fail("nothing to write")))
  return {
    note: (agency: AgencyId, delivery: Sent["delivery"]) => {
      Context.get(context, Told).note(
        { agency, winners: 1, at: new Date(0) },
        { delivery, transport: { address: "::1", port: 9 } }
      )
    },
    /** The writes since the last call, once nothing more happens by itself. */
    written: Effect.andThen(settled, Effect.sync(() => writes.splice(0))),
    sync: Effect.flatMap(last, Deferred.succeed<void>(undefined)),
    break: Effect.flatMap(last, Deferred.fail(diskFull)),
    hasEnded: Effect.map(settled, () => end.pollUnsafe() !== undefined),
    close: Scope.close(scope, Exit.void)
  }
})

/** Fibers have done all that they can do without time passing. */
const settled = TestClock.adjust(0)

const recordOf = (agency: number, how: ToldRecord["how"], served = true): ToldRecord => ({
  agency,
  how,
  at: "2026-11-24T21:03:05+00:00",
  address: "::1",
  port: 9,
  served
})

describe("that an agency was told", () => {
  it.effect("is written at once, and what comes meanwhile together: the latest of each agency", () =>
    Effect.gen(function*() {
      const { note, sync, written } = yield* toldOf()
      note(one, "broken")
      assert.deepStrictEqual(yield* written, ["1 sent, cut off"])
      note(two, "unconfirmed")
      note(one, "broken")
      note(one, "confirmed")
      assert.deepStrictEqual(yield* written, [])
      yield* sync
      assert.deepStrictEqual(yield* written, ["1 confirmed; 2 sent"])
      yield* sync
      assert.deepStrictEqual(yield* written, [])
    }))

  it.effect("is not forgotten when it comes while an older record of the agency is written", () =>
    Effect.gen(function*() {
      const { note, sync, written } = yield* toldOf()
      note(one, "unconfirmed")
      assert.deepStrictEqual(yield* written, ["1 sent"])
      note(one, "confirmed")
      yield* sync
      assert.deepStrictEqual(yield* written, ["1 confirmed"])
    }))

  it.effect("once served stays so, whatever breaks afterwards", () =>
    Effect.gen(function*() {
      const { note, sync, written } = yield* toldOf()
      note(one, "broken")
      assert.deepStrictEqual(yield* written, ["1 sent, cut off"])
      note(one, "unconfirmed")
      note(one, "broken")
      yield* sync
      assert.deepStrictEqual(yield* written, ["1 sent"])
    }))

  it.effect("for certain is not written over by what is less certain, also after a restart", () =>
    Effect.gen(function*() {
      const { note, sync, written } = yield* toldOf(false, [recordOf(2, "confirmed")])
      note(one, "confirmed")
      assert.deepStrictEqual(yield* written, ["1 confirmed"])
      yield* sync
      note(one, "broken")
      note(two, "unconfirmed")
      assert.deepStrictEqual(yield* written, [])
    }))

  it.effect("is written again after a wait when it couldn't be, with what came meanwhile", () =>
    Effect.gen(function*() {
      const { break: breakDisk, note, sync, written } = yield* toldOf()
      note(one, "confirmed")
      assert.deepStrictEqual(yield* written, ["1 confirmed"])
      yield* breakDisk
      note(two, "confirmed")
      yield* TestClock.adjust(49)
      assert.deepStrictEqual(yield* written, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(yield* written, ["1 confirmed; 2 confirmed"])
      yield* sync
      assert.deepStrictEqual(yield* written, [])
    }))

  it.effect("is tried once more when the server ends", () =>
    Effect.gen(function*() {
      const { break: breakDisk, close, note, sync, written } = yield* toldOf()
      note(one, "confirmed")
      assert.deepStrictEqual(yield* written, ["1 confirmed"])
      yield* breakDisk
      yield* settled
      const closing = yield* Effect.forkChild(close)
      assert.deepStrictEqual(yield* written, ["1 confirmed"])
      yield* sync
      yield* Fiber.join(closing)
    }))
})

describe("the server", () => {
  it.effect("with exitWhenServed ends when every agency was told or asks no more, but not while one that was cut off may ask", () =>
    Effect.gen(function*() {
      const { hasEnded, note, sync } = yield* toldOf(true)
      note(one, "unconfirmed")
      note(two, "broken")
      note(one, "confirmed")
      yield* settled
      yield* sync
      yield* settled
      yield* sync
      assert.isFalse(yield* hasEnded)
      note(two, "confirmed")
      // Other servers wait for the same agencies, so it must be written first.
      assert.isFalse(yield* hasEnded)
      yield* sync
      assert.isTrue(yield* hasEnded)
    }))

  it.effect("with exitWhenServed counts those that were served before a restart, not those that were cut off", () =>
    Effect.gen(function*() {
      const endsAfter = Effect.fnUntraced(function*(record: ToldRecord) {
        const { hasEnded, note, sync } = yield* toldOf(true, [record])
        note(one, "confirmed")
        yield* settled
        yield* sync
        return yield* hasEnded
      })
      assert.isTrue(yield* endsAfter(recordOf(2, "confirmed")))
      assert.isTrue(yield* endsAfter(recordOf(2, "sent")))
      assert.isFalse(yield* endsAfter(recordOf(2, "sent", false)))
    }))

  it.effect("without exitWhenServed goes on", () =>
    Effect.gen(function*() {
      const { hasEnded, note } = yield* toldOf(false)
      note(one, "confirmed")
      note(two, "confirmed")
      assert.isFalse(yield* hasEnded)
    }))
})
