/** What every home of the ledger must do with claims, and with who was told: part of BetLedgerSuite.ts. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, type Scope } from "effect"
import type { AgencyId } from "../../src/domain/Agency.ts"
import type { ToldRecord } from "../../src/domain/Draw.ts"
import { plainChunk, underClaim } from "../support/LedgerChunks.ts"
import { five, type LedgerStore, life, standings, three } from "./LedgerLife.ts"

export const ClaimSuite = (
  name: string,
  makeStore: Effect.Effect<LedgerStore, never, Scope.Scope>
): void => {
  describe(`${name} is claimed`, () => {
    it.effect("anew each time, with what is stored", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        yield* life(store, ({ claim, commit }) =>
          Effect.gen(function*() {
            const first = yield* claim(three)
            yield* commit([plainChunk(three, 1, 4), plainChunk(five, 1, 1)])
            const second = yield* claim(three)
            assert.isAbove(second.epoch, first.epoch)
            assert.deepInclude(second, { seq: 1, bets: 4, finished: false })
          }))
      }))

    it.effect("and then stores nothing that was decided on before, but the others of the group", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        yield* life(store, (ledger) =>
          Effect.gen(function*() {
            const [before, other] = [yield* ledger.claim(three), yield* ledger.claim(five)]
            const after = yield* ledger.claim(three)
            const { commit } = ledger.home
            const late = underClaim(plainChunk(three, 1, 2), before)
            const both = yield* commit([late, underClaim(plainChunk(five, 1, 3), other)])
            assert.deepStrictEqual([...both.fenced], [three])
            assert.deepStrictEqual([...(yield* commit([late])).fenced], [three])
            assert.isTrue(Option.isNone(yield* ledger.chunkAt(three, 1)))
            const { fenced } = yield* commit([underClaim(plainChunk(three, 1, 5), after)])
            assert.strictEqual(fenced.size, 0)
          }))
        assert.deepStrictEqual(yield* standings(store), [
          { seq: 1, bets: 5, finished: false },
          { seq: 1, bets: 3, finished: false }
        ])
      }))

    it.effect("while a chunk is on its way, and tells what became of it", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        yield* life(store, ({ claim, home }) =>
          Effect.gen(function*() {
            const before = yield* claim(three)
            const chunk = underClaim(plainChunk(three, 1, 1000), before)
            const storing = yield* Effect.forkChild(home.commit([chunk]), {
              startImmediately: true
            })
            const after = yield* claim(three)
            const { fenced } = yield* Fiber.join(storing)
            assert.strictEqual(after.seq, fenced.size === 0 ? 1 : 0)
            const { bets } = yield* claim(three)
            assert.strictEqual(bets, after.bets)
          }))
      }))

    it.effect("by one who has an empty group stored, which changes nothing", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        yield* life(store, ({ commit }) =>
          Effect.gen(function*() {
            assert.strictEqual((yield* commit([])).fenced.size, 0)
            yield* commit([plainChunk(three, 1, 1)])
          }))
      }))
  })

  describe(`${name} keeps who was told`, () => {
    it.effect("across restarts, and what is sure before what is not", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const record = (agency: AgencyId, how: ToldRecord["how"], port: number, served = true) => ({
          agency,
          how,
          served,
          at: "2026-11-28T21:00:00+00:00",
          address: "127.0.0.1",
          port
        })
        yield* life(store, ({ told, toldRecords }) =>
          Effect.gen(function*() {
            assert.strictEqual((yield* toldRecords).size, 0)
            yield* told([record(three, "sent", 1, false), record(five, "confirmed", 2)])
            yield* told([record(three, "sent", 3), record(five, "sent", 4, false)])
          }))
        const records = yield* life(store, ({ toldRecords }) => toldRecords)
        assert.deepStrictEqual([...records], [
          [three, record(three, "sent", 3)],
          [five, record(five, "confirmed", 2)]
        ])
      }))
  })
}
