/** What becomes of groups, as long as PostgreSQL does what it should. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit } from "effect"
import { AgencyId } from "../../../../src/domain/Agency.ts"
import { Epoch } from "../../../../src/domain/Claim.ts"
import type { LedgerChunk } from "../../../../src/services/ledger/BetLedger.ts"
import { claimedChunk, LaneTrial } from "../../../support/LaneTrial.ts"
import { Postgres, postgresKinds } from "../../../support/Postgres.ts"

const one = AgencyId.make(1)
const two = AgencyId.make(2)
const three = AgencyId.make(3)

for (const { kind, name, skipped } of postgresKinds) {
  describe.skipIf(skipped)(`a commit lane to ${name}`, () => {
    let postgres: Postgres
    beforeAll(async () => {
      postgres = await Postgres.start({ kind })
    })
    afterAll(() => postgres[Symbol.asyncDispose]())
    const begin = Effect.suspend(() => LaneTrial.begin(postgres, 3))

    it.live("stores what was claimed, group after group and two at once", () =>
      Effect.gen(function*() {
        const trial = yield* begin
        const lane = yield* trial.open()
        for (const agency of [one, two, three]) yield* trial.claim(agency, lane)
        const first = [claimedChunk(one, {}), claimedChunk(two, {})]
        assert.strictEqual((yield* lane.commit(first)).fenced.size, 0)
        const both = yield* Effect.all([
          lane.commit([claimedChunk(one, { seq: 2, before: 2, last: true })]),
          lane.commit([claimedChunk(two, { seq: 2, before: 2 }), claimedChunk(three, { count: 0 })])
        ], { concurrency: "unbounded" })
        assert.deepStrictEqual(both.map(({ fenced }) => fenced.size), [0, 0])
        assert.deepStrictEqual(yield* trial.stored, ["1/1", "1/2", "2/1", "2/2", "3/1"])
        const finished = yield* trial.query("SELECT agency::int FROM agency WHERE finished")
        assert.deepStrictEqual(finished, [{ agency: 1 }])
        assert.deepStrictEqual(lane.known(one), { seq: 2, bets: 4, finished: true })
      }).pipe(Effect.scoped))

    it.live("stores several chunks of an agency in one group", () =>
      Effect.gen(function*() {
        const trial = yield* begin
        const lane = yield* trial.open()
        yield* trial.claim(one, lane)
        const chunks = [1, 2, 3].map((seq) => claimedChunk(one, { seq, before: 2 * (seq - 1) }))
        yield* lane.commit(chunks)
        assert.deepStrictEqual(yield* trial.stored, ["1/1", "1/2", "1/3"])
      }).pipe(Effect.scoped))

    it.live("fences an agency that was claimed elsewhere, and stores the others", () =>
      Effect.gen(function*() {
        const trial = yield* begin
        const lane = yield* trial.open()
        yield* trial.claim(one, lane)
        yield* trial.claim(two, lane)
        yield* trial.claim(two)
        const last = claimedChunk(two, { last: true })
        const group = [claimedChunk(one, {}), last]
        const { fenced } = yield* lane.commit(group)
        assert.deepStrictEqual([...fenced], [two])
        assert.deepStrictEqual(yield* trial.stored, ["1/1"])
        assert.deepStrictEqual(yield* trial.query("SELECT FROM agency WHERE finished"), [])
        // Nothing of it is sent again.
        assert.deepStrictEqual([...(yield* lane.commit([last])).fenced], [two])
        const { epoch } = yield* trial.claim(two, lane)
        yield* lane.commit([claimedChunk(two, { epoch })])
        assert.deepStrictEqual(yield* trial.stored, ["1/1", "2/1"])
      }).pipe(Effect.scoped))

    it.live("fences an agency whose epoch another server was given once more, after a failover", () =>
      Effect.gen(function*() {
        const trial = yield* begin
        const lane = yield* trial.open()
        yield* trial.claim(one, lane)
        yield* trial.query("UPDATE agency SET epoch = 0")
        assert.deepInclude(yield* trial.claim(one), { epoch: Epoch.make(1) })
        assert.deepStrictEqual([...(yield* lane.commit([claimedChunk(one, {})])).fenced], [one])
        assert.deepStrictEqual(yield* trial.stored, [])
      }).pipe(Effect.scoped))

    it.live("fences what was decided on under an earlier claim of its own", () =>
      Effect.gen(function*() {
        const trial = yield* begin
        const lane = yield* trial.open()
        yield* trial.claim(one, lane)
        yield* trial.claim(one, lane)
        assert.deepStrictEqual([...(yield* lane.commit([claimedChunk(one, {})])).fenced], [one])
        yield* lane.commit([claimedChunk(one, { epoch: 2 })])
        assert.deepStrictEqual(yield* trial.stored, ["1/1"])
      }).pipe(Effect.scoped))

    const badChunks: ReadonlyArray<readonly [string, LedgerChunk]> = [
      ["a gap", claimedChunk(one, { seq: 4, before: 2 })],
      ["a repeated seq", claimedChunk(one, { seq: 1, before: 2 })],
      ["a wrong total", claimedChunk(one, { seq: 2 })],
      ["an agency that was never claimed", claimedChunk(three, {})],
      ["a chunk after the last one", claimedChunk(two, { seq: 2, before: 2 })],
      ["fewer numbers than bets", {
        ...claimedChunk(one, { seq: 2, before: 2 }),
        numbers: new Uint8Array(2)
      }]
    ]
    it.live.each(badChunks)(
      "stores nothing of a group with %s",
      ([, bad]) =>
        Effect.gen(function*() {
          const trial = yield* begin
          const lane = yield* trial.open()
          yield* trial.claim(one, lane)
          yield* trial.claim(two, lane)
          const group = [claimedChunk(one, {}), claimedChunk(two, { last: true }), bad]
          const exit = yield* Effect.exit(lane.commit(group))
          assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
          assert.deepStrictEqual(yield* trial.stored, [])
          yield* lane.commit([claimedChunk(one, {})])
          assert.deepStrictEqual(yield* trial.stored, ["1/1"])
        }).pipe(Effect.scoped)
    )

    it.live("says whether anything can be stored when it is given nothing", () =>
      Effect.gen(function*() {
        const trial = yield* begin
        const lane = yield* trial.open()
        assert.strictEqual((yield* lane.commit([])).fenced.size, 0)
        assert.deepStrictEqual(yield* trial.stored, [])
      }).pipe(Effect.scoped))

    it.live("ends the server when a chunk is there that nobody was told of", () =>
      Effect.gen(function*() {
        const trial = yield* begin
        const lane = yield* trial.open()
        yield* trial.claim(one, lane)
        yield* lane.commit([claimedChunk(one, {})])
        lane.give(one, { epoch: claimedChunk(one, {}).epoch, seq: 0, bets: 0, finished: false })
        const exit = yield* Effect.exit(lane.commit([claimedChunk(one, {})]))
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
        assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", "SQLSTATE 23505")
      }).pipe(Effect.scoped))

    it.live("stores what it was given when its caller is interrupted, and it is closed", () =>
      Effect.gen(function*() {
        const trial = yield* begin
        yield* Effect.scoped(Effect.gen(function*() {
          const lane = yield* trial.open({ groupsMax: 1 })
          for (const agency of [one, two, three]) yield* trial.claim(agency, lane)
          yield* lane.commit([])
          const interrupted = Effect.fnUntraced(function*(agency: AgencyId) {
            const group = [claimedChunk(agency, { count: 20_000 })]
            const fiber = yield* Effect.forkChild(lane.commit(group), { startImmediately: true })
            yield* Effect.sync(() => fiber.interruptUnsafe())
          })
          yield* interrupted(one)
          yield* lane.commit([claimedChunk(two, {})])
          assert.deepInclude(lane.known(one), { seq: 1, bets: 20_000 })
          yield* interrupted(three)
        }))
        assert.deepStrictEqual(yield* trial.stored, ["1/1", "2/1", "3/1"])
      }))
  })
}
