/** What becomes of groups when sessions, the server or the network fail under them. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Result } from "effect"
import { AgencyId } from "../../../../src/domain/Agency.ts"
import { Epoch } from "../../../../src/domain/Claim.ts"
import { RootKeeper } from "../../../../src/services/base/Keeper.ts"
import { LogWriter } from "../../../../src/services/base/OperatorLog.ts"
import type { LedgerChunk } from "../../../../src/services/ledger/BetLedger.ts"
import type { CommitLane } from "../../../../src/services/ledger/postgres/CommitLane.ts"
import { claimedChunk, LaneTrial, linkTo } from "../../../support/LaneTrial.ts"
import { Postgres, postgresKinds } from "../../../support/Postgres.ts"
import { TcpProxy } from "../../../support/TcpProxy.ts"
import { waitUntil } from "../../../support/WaitUntil.ts"

const one = AgencyId.make(1)
const two = AgencyId.make(2)

const until = (what: string, probe: Effect.Effect<boolean>): Effect.Effect<boolean> =>
  Effect.promise(() => waitUntil(what, () => Effect.runPromise(probe)))

/** Sends a group and waits until it waits in the database. */
const sendInto = Effect.fnUntraced(function*(
  trial: LaneTrial,
  lane: CommitLane,
  group: ReadonlyArray<LedgerChunk>,
  what: "Lock" | "SyncRep" = "Lock"
) {
  const sent = yield* Effect.forkChild(Effect.result(lane.commit(group)), {
    startImmediately: true
  })
  yield* until("a group that waits", Effect.map(trial.waiting(what), ({ length }) => length > 0))
  return sent
})

/** How a commit failed. */
const failureOf = <A, E>(result: Result.Result<A, E>): E | undefined =>
  Result.isFailure(result) ? result.failure : undefined

/** Of a group of nothing, which stores nothing. */
const failureNow = (lane: CommitLane) => Effect.map(Effect.result(lane.commit([])), failureOf)

/** Tries until a group of nothing is stored. */
const back = (lane: CommitLane) =>
  until("sessions again", Effect.map(Effect.exit(lane.commit([])), Exit.isSuccess))

for (const { kind, name, skipped } of postgresKinds) {
  describe.skipIf(skipped)(`a commit lane to ${name}`, () => {
    let postgres: Postgres
    beforeAll(async () => {
      postgres = await Postgres.start({ kind })
    })
    afterAll(() => postgres[Symbol.asyncDispose]())
    const begin = Effect.suspend(() => LaneTrial.begin(postgres, 3))

    it.live("waits for a row that another transaction holds, and stores", () =>
      Effect.gen(function*() {
        const trial = yield* begin
        const lane = yield* trial.open()
        yield* trial.claim(one, lane)
        const holder = yield* trial.lockRow(one)
        const sent = yield* sendInto(trial, lane, [claimedChunk(one, {})])
        yield* holder.query("COMMIT")
        const { fenced } = Result.getOrThrow(yield* Fiber.join(sent))
        assert.strictEqual(fenced.size, 0)
        assert.deepStrictEqual(yield* trial.stored, ["1/1"])
      }).pipe(Effect.scoped))

    it.live("is fenced by a claim that it had to wait for; the others of the group are stored", () =>
      Effect.gen(function*() {
        const trial = yield* begin
        const lane = yield* trial.open()
        yield* trial.claim(one, lane)
        yield* trial.claim(two, lane)
        const holder = yield* trial.lockRow(one)
        const group = [claimedChunk(one, { last: true }), claimedChunk(two, {})]
        const sent = yield* sendInto(trial, lane, group)
        yield* holder.query("UPDATE agency SET epoch = epoch + 1 WHERE agency = 1")
        yield* holder.query("COMMIT")
        const { fenced } = Result.getOrThrow(yield* Fiber.join(sent))
        assert.deepStrictEqual([...fenced], [one])
        assert.deepStrictEqual(yield* trial.stored, ["2/1"])
        assert.deepStrictEqual(yield* trial.query("SELECT FROM agency WHERE finished"), [])
      }).pipe(Effect.scoped))

    it.live("is in doubt when its session is terminated; the other session goes on", () =>
      Effect.gen(function*() {
        const trial = yield* begin
        const lane = yield* trial.open()
        yield* trial.claim(one, lane)
        yield* trial.claim(two, lane)
        const holder = yield* trial.lockRow(one)
        const sent = yield* sendInto(trial, lane, [claimedChunk(one, {})])
        const [pid] = yield* trial.waiting("Lock")
        assert.isDefined(pid)
        const together = yield* Effect.all([
          Fiber.join(sent),
          trial.query("SELECT pg_terminate_backend($1)", [pid]),
          lane.commit([claimedChunk(two, {})])
        ], { concurrency: "unbounded" })
        const failure = failureOf(together[0])
        assert.strictEqual(failure?._tag, "LedgerInDoubt")
        assert.include(failure?.message, "terminating connection due to administrator command")
        yield* holder.query("COMMIT")
        // The claim decides: it wasn't stored, and may be sent again under the new one.
        const claim = yield* trial.claim(one, lane)
        assert.deepInclude(claim, { epoch: Epoch.make(2), seq: 0 })
        yield* Effect.all([
          lane.commit([claimedChunk(one, { epoch: 2 })]),
          lane.commit([claimedChunk(two, { seq: 2, before: 2 })])
        ], { concurrency: "unbounded" })
        assert.deepStrictEqual(yield* trial.stored, ["1/1", "2/1", "2/2"])
      }).pipe(Effect.scoped))

    it.live("stores nothing more under a claim in doubt", () =>
      Effect.gen(function*() {
        const trial = yield* begin
        const lane = yield* trial.open({ answerMs: 100 })
        yield* trial.claim(one, lane)
        yield* lane.commit([])
        yield* trial.lockRow(one)
        const chunk = claimedChunk(one, {})
        const failure = yield* Effect.flip(lane.commit([chunk]))
        assert.strictEqual(failure._tag, "LedgerInDoubt")
        const exit = yield* Effect.exit(lane.commit([chunk]))
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      }).pipe(Effect.scoped))

    it.live("is in doubt at its deadline; it isn't cancelled, and a claim makes it void", () =>
      Effect.gen(function*() {
        const trial = yield* begin
        const lane = yield* trial.open({ answerMs: 300 })
        yield* trial.claim(one, lane)
        const holder = yield* trial.lockRow(one)
        const sent = yield* sendInto(trial, lane, [claimedChunk(one, {})])
        const failure = failureOf(yield* Fiber.join(sent))
        assert.strictEqual(failure?._tag, "LedgerInDoubt")
        assert.include(failure?.message, "no answer within 300 ms")
        // It still waits there.
        assert.lengthOf(yield* trial.waiting("Lock"), 1)
        yield* holder.query("UPDATE agency SET epoch = epoch + 1 WHERE agency = 1")
        yield* holder.query("COMMIT")
        yield* until("its end", Effect.map(trial.waiting("Lock"), ({ length }) => length === 0))
        assert.deepInclude(yield* trial.claim(one, lane), { epoch: Epoch.make(3), seq: 0 })
        assert.deepStrictEqual(yield* trial.stored, [])
      }).pipe(Effect.scoped))

    it.live("that was in doubt at its deadline can be stored: the next claim finds it", () =>
      Effect.gen(function*() {
        const trial = yield* begin
        const lane = yield* trial.open({ answerMs: 300 })
        yield* trial.claim(one, lane)
        const holder = yield* trial.lockRow(one)
        const sent = yield* sendInto(trial, lane, [claimedChunk(one, {})])
        assert.strictEqual(failureOf(yield* Fiber.join(sent))?._tag, "LedgerInDoubt")
        yield* holder.query("COMMIT")
        yield* until("its end", Effect.map(trial.waiting("Lock"), ({ length }) => length === 0))
        assert.deepInclude(yield* trial.claim(one, lane), { epoch: Epoch.make(2), seq: 1, bets: 2 })
        yield* lane.commit([claimedChunk(one, { epoch: Epoch.make(2), seq: 2, before: 2 })])
        assert.deepStrictEqual(yield* trial.stored, ["1/1", "1/2"])
      }).pipe(Effect.scoped))

    it.live("fails with nothing stored on a standby, and leaves its session", () =>
      Effect.gen(function*() {
        const trial = yield* begin
        const lane = yield* trial.open()
        yield* trial.claim(one, lane)
        const database = new URL(trial.url).pathname.slice(1)
        const setting = `ALTER DATABASE ${database} SET default_transaction_read_only =`
        yield* trial.query(`${setting} on`)
        yield* Effect.promise(() => postgres.terminateSessions(database))
        yield* until(
          "a refusal",
          Effect.map(
            failureNow(lane),
            (failure) =>
              failure?._tag === "LedgerUnavailable" && failure.message.includes("SQLSTATE 25006")
          )
        )
        yield* Effect.promise(() => postgres.query(`${setting} off`))
        yield* back(lane)
        yield* lane.commit([claimedChunk(one, {})])
        assert.deepStrictEqual(yield* trial.stored, ["1/1"])
      }).pipe(Effect.scoped))

    it.live("fences agencies whose acknowledged chunk is not there when its sessions are new", () =>
      Effect.gen(function*() {
        const trial = yield* begin
        const lane = yield* trial.open()
        for (const agency of [one, two]) yield* trial.claim(agency, lane)
        for (const [seq, before] of [[1, 0], [2, 2]]) {
          yield* lane.commit([one, two].map((agency) => claimedChunk(agency, { seq, before })))
        }
        // As a standby does that takes over without having seen everything.
        yield* trial.query("DELETE FROM chunk WHERE agency = 1 AND seq = 2")
        yield* Effect.promise(() =>
          postgres.terminateSessions(new URL(trial.url).pathname.slice(1))
        )
        yield* back(lane)
        const group = [one, two].map((agency) => claimedChunk(agency, { seq: 3, before: 4 }))
        assert.deepStrictEqual([...(yield* lane.commit(group)).fenced], [one])
        assert.deepStrictEqual(yield* trial.stored, ["1/1", "2/1", "2/2", "2/3"])
        assert.deepInclude(lane.known(one), { seq: 2, bets: 4 })
      }).pipe(Effect.scoped))

    it.live("opens sessions again after a defect in the fiber that keeps them, which is logged", () =>
      Effect.gen(function*() {
        const trial = yield* begin
        let log = ""
        const writer = new LogWriter({ level: "INFO", format: "text", flushMs: 0 }, (text) => {
          log += text
        })
        let isPlanted = true
        const link = {
          ...linkTo(trial.url),
          get settings() {
            if (!isPlanted) return {}
            isPlanted = false
            throw new Error("planted by the test")
          }
        }
        const lane = yield* trial.open(
          { groupsMax: 1, link },
          trial.url,
          new RootKeeper(writer, () => {})
        )
        yield* lane.commit([])
        yield* Effect.promise(() => waitUntil("a log line", () => log !== ""))
        assert.match(log, /CRITICAL action: defect .* root: commit lane \| ends: nothing/)
      }).pipe(Effect.scoped))
  })

  describe.skipIf(skipped)(`a commit lane, and ${name} of its own,`, () => {
    it.live("is in doubt when the server crashes under it, and goes on when it is back", () =>
      Effect.gen(function*() {
        const postgres = yield* own({ kind })
        const trial = yield* LaneTrial.begin(postgres, 3)
        const lane = yield* trial.open()
        yield* trial.claim(one, lane)
        yield* Effect.scoped(Effect.gen(function*() {
          yield* trial.lockRow(one)
          const sent = yield* sendInto(trial, lane, [claimedChunk(one, {})])
          yield* Effect.promise(() => postgres.kill())
          assert.strictEqual(failureOf(yield* Fiber.join(sent))?._tag, "LedgerInDoubt")
        }))
        yield* until(
          "unavailable",
          Effect.map(failureNow(lane), (failure) => failure?._tag === "LedgerUnavailable")
        )
        yield* Effect.promise(() => postgres.start())
        yield* back(lane)
        const { epoch, seq } = yield* trial.claim(one, lane)
        assert.strictEqual(seq, 0)
        yield* lane.commit([claimedChunk(one, { epoch })])
        assert.deepStrictEqual(yield* trial.stored, ["1/1"])
      }).pipe(Effect.scoped))

    it.live("stores a group of nothing only where a standby that must confirm it does", () =>
      Effect.gen(function*() {
        const postgres = yield* own({ kind })
        const trial = yield* LaneTrial.begin(postgres, 3)
        const standby = yield* Effect.promise(() => postgres.addStandby("synchronous"))
        const lane = yield* trial.open({ answerMs: 1000 })
        yield* back(lane)
        yield* Effect.promise(() => standby.stop())
        for (const attempt of [1, 2]) {
          const failure = yield* Effect.flip(lane.commit([]))
          assert.strictEqual(failure._tag, "LedgerInDoubt", String(attempt))
        }
        yield* Effect.promise(() => standby.start())
        yield* back(lane)
      }).pipe(Effect.scoped))

    it.live("is in doubt when its wait for the standby is cancelled, which is answered as a success", () =>
      Effect.gen(function*() {
        const postgres = yield* own({ kind })
        const trial = yield* LaneTrial.begin(postgres, 3)
        const standby = yield* Effect.promise(() => postgres.addStandby("synchronous"))
        const lane = yield* trial.open()
        yield* trial.claim(one, lane)
        yield* lane.commit([])
        yield* Effect.promise(() => standby.stop())
        const sent = yield* sendInto(trial, lane, [claimedChunk(one, {})], "SyncRep")
        const [pid] = yield* trial.waiting("SyncRep")
        yield* trial.query("SELECT pg_cancel_backend($1)", [pid])
        const failure = failureOf(yield* Fiber.join(sent))
        assert.strictEqual(failure?._tag, "LedgerInDoubt")
        assert.include(failure?.message, "canceling wait for synchronous replication")
        yield* Effect.promise(() => standby.start())
        assert.deepInclude(yield* trial.claim(one, lane), { epoch: Epoch.make(2), seq: 1 })
      }).pipe(Effect.scoped))
  })
}

/** Its standbys end with it. */
const own = (options: { readonly kind: "npm" | "debian" }) =>
  Effect.acquireRelease(
    Effect.promise(() => Postgres.start(options)),
    (postgres) => Effect.promise(() => postgres[Symbol.asyncDispose]())
  )

describe("a commit lane through a network", () => {
  let postgres: Postgres
  beforeAll(async () => {
    postgres = await Postgres.start()
  })
  afterAll(() => postgres[Symbol.asyncDispose]())

  const proxied = Effect.acquireRelease(
    Effect.promise(() => TcpProxy.start(postgres.port)),
    (opened) => Effect.promise(() => opened[Symbol.asyncDispose]())
  )
  const through = (trial: LaneTrial, proxy: TcpProxy) =>
    postgres.url(new URL(trial.url).pathname.slice(1), proxy.port)

  it.live("that leads to a database without what was acknowledged fences a group that waits for a session", () =>
    Effect.gen(function*() {
      const trial = yield* LaneTrial.begin(postgres, 3)
      const proxy = yield* proxied
      const lane = yield* trial.open(
        { groupsMax: 1, reopen: { firstMs: 10, maxMs: 1 } },
        through(trial, proxy)
      )
      yield* trial.claim(one, lane)
      yield* lane.commit([claimedChunk(one, {})])
      proxy.set("stall")
      proxy.cut()
      // As a failover does it that loses the chunk, but not the claim.
      yield* trial.query("DELETE FROM chunk")
      yield* until("a session that is being opened", Effect.sync(() => proxy.held("up") > 0))
      const sent = yield* Effect.forkChild(
        lane.commit([claimedChunk(one, { seq: 2, before: 2 })]),
        { startImmediately: true }
      )
      proxy.heal()
      assert.deepStrictEqual([...(yield* Fiber.join(sent)).fenced], [one])
      assert.deepStrictEqual(yield* trial.stored, [])
    }).pipe(Effect.scoped))

  it.live.each(["up", "down"] as const)(
    "that loses what goes %s is in doubt at its deadline, and goes on when it heals",
    (direction) =>
      Effect.gen(function*() {
        const trial = yield* LaneTrial.begin(postgres, 3)
        const proxy = yield* proxied
        const lane = yield* trial.open({ answerMs: 500 }, through(trial, proxy))
        yield* trial.claim(one, lane)
        yield* lane.commit([])
        proxy.set("lose", [direction])
        const failure = yield* Effect.flip(lane.commit([claimedChunk(one, {})]))
        assert.strictEqual(failure._tag, "LedgerInDoubt")
        if (direction === "down") {
          yield* until("it stored", Effect.map(trial.stored, ({ length }) => length === 1))
        }
        proxy.heal()
        yield* back(lane)
        const { bets, epoch, seq } = yield* trial.claim(one, lane)
        assert.strictEqual(seq, direction === "down" ? 1 : 0)
        yield* lane.commit([claimedChunk(one, { epoch, seq: seq + 1, before: bets })])
        assert.lengthOf(yield* trial.stored, seq + 1)
      }).pipe(Effect.scoped)
  )
})
