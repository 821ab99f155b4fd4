/**
 * What every home of the ledger must do, whatever it stores bets in. `makeStore` gives an empty store, whose layer is
 * built and closed again and again: closing and building is a restart.
 */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Cause, Effect, Exit, Option, Schema, type Scope } from "effect"
import { createHash } from "node:crypto"
import { AgencyId } from "../../src/domain/Agency.ts"
import { BetFields } from "../../src/domain/Bet.ts"
import { WinningNumber } from "../../src/domain/Draw.ts"
import type { StoredChunk } from "../../src/services/ledger/BetLedger.ts"
import { betAt, chunkOf, csvOf, plainChunk, underClaim } from "../support/LedgerChunks.ts"
import { ClaimSuite } from "./ClaimSuite.ts"
import { five, type LedgerStore, life, lottery, standings, three } from "./LedgerLife.ts"

const diesOf = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && Cause.hasDies(exit.cause)

export const BetLedgerSuite = (
  name: string,
  makeStore: Effect.Effect<LedgerStore, never, Scope.Scope>
): void => {
  describe(`${name} stores`, () => {
    it.effect("nothing at first, and knows every agency of the roster", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const { finished, draw } = yield* life(store, ({ standing }) => standing)
        assert.deepStrictEqual([...finished], [])
        assert.isTrue(Option.isNone(draw))
        const nothing = { seq: 0, bets: 0, finished: false }
        assert.deepStrictEqual(yield* standings(store), [nothing, nothing])
      }))

    it.effect("what it has acknowledged, across restarts", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        yield* life(
          store,
          ({ commit }) => commit([plainChunk(three, 1, 2), plainChunk(five, 1, 3)])
        )
        yield* life(
          store,
          ({ commit }) => commit([plainChunk(three, 2, 4), plainChunk(five, 2, 0, true)])
        )
        assert.deepStrictEqual(yield* standings(store), [
          { seq: 2, bets: 6, finished: false },
          { seq: 2, bets: 3, finished: true }
        ])
        const { finished } = yield* life(store, ({ standing }) => standing)
        assert.deepStrictEqual([...finished], [five])
        const { bets, finished: count, isNew } = yield* life(
          store,
          ({ opened }) => Effect.succeed(opened)
        )
        assert.deepStrictEqual([bets, count, isNew], [9, 1, false])
      }))

    const badChunks: ReadonlyArray<readonly [string, StoredChunk]> = [
      ["a gap", plainChunk(three, 4, 1)],
      ["a repeated seq", plainChunk(three, 2, 1)],
      ["an agency outside of the roster", plainChunk(AgencyId.make(4), 1, 1)],
      ["a chunk after the last one", plainChunk(five, 2, 1)],
      ["a body without an end", {
        ...plainChunk(three, 3, 2),
        body: new TextEncoder().encode("a\tb")
      }],
      ["fewer numbers than bets", { ...plainChunk(three, 3, 2), numbers: new Uint8Array(2) }],
      ["a body of no bets", { ...plainChunk(three, 3, 1), bets: 0, numbers: new Uint8Array(0) }]
    ]
    it.effect.each(badChunks)("nothing of a group with %s", ([, bad]) =>
      Effect.gen(function*() {
        const store = yield* makeStore
        yield* life(store, (ledger) =>
          Effect.gen(function*() {
            const exit = yield* Effect.exit(
              ledger.commit([
                plainChunk(three, 1, 1),
                plainChunk(five, 1, 1, true),
                plainChunk(three, 2, 2),
                bad
              ])
            )
            assert.isTrue(diesOf(exit))
            assert.isTrue(Option.isNone(yield* ledger.chunkAt(three, 1)))
            yield* ledger.commit([plainChunk(three, 1, 5)])
          }))
        assert.deepStrictEqual(yield* standings(store), [
          { seq: 1, bets: 5, finished: false },
          { seq: 0, bets: 0, finished: false }
        ])
      }))

    it.effect("a group that follows its agency's bets through several chunks", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const group = Array.from(
          { length: 300 },
          (_, index) => plainChunk(three, index + 1, index % 3)
        )
        yield* life(store, ({ commit }) => commit(group))
        const [sold] = yield* standings(store)
        assert.deepStrictEqual(sold, { seq: 300, bets: 300, finished: false })
      }))

    it.effect("what was given to it when the caller is interrupted meanwhile", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        yield* life(store, ({ claim, home }) =>
          Effect.gen(function*() {
            const chunk = underClaim(plainChunk(three, 1, 1000), yield* claim(three))
            const fiber = yield* Effect.forkChild(home.commit([chunk]), {
              startImmediately: true
            })
            yield* Effect.sync(() => fiber.interruptUnsafe())
          }))
        const [sold] = yield* standings(store)
        assert.strictEqual(sold.bets, 1000)
      }))

    it.effect("for one lottery only, and names both values", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        yield* life(store, ({ commit }) => commit([plainChunk(three, 1, 1)]))
        const other = { ...lottery, winningNumber: WinningNumber.make(7574) }
        const number = yield* Effect.flip(life(store, () => Effect.void, other))
        assert.deepInclude(number, { _tag: "LedgerMismatch", what: "winning number" })
        assert.deepInclude(number, { ledger: "257", configured: "7574" })
        const roster = yield* Effect.flip(
          life(store, () => Effect.void, { ...lottery, roster: [three] })
        )
        assert.deepInclude(roster, { _tag: "LedgerMismatch", what: "agencies" })
        assert.deepInclude(roster, { ledger: "3,5", configured: "3," })
      }))
  })

  describe(`${name} gives back`, () => {
    it.effect("the exact bytes of a chunk, and nothing for one that isn't there", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const bets = yield* Arbitrary.sampleEffect(Arbitrary.schema(BetFields), { count: 200 })
        const chunks = [
          chunkOf(three, 1, bets),
          plainChunk(five, 1, 1),
          plainChunk(three, 2, 0, true)
        ]
        yield* life(store, ({ chunkAt, commit }) =>
          Effect.gen(function*() {
            assert.isTrue(Option.isNone(yield* chunkAt(three, 1)))
            yield* commit(chunks)
            for (const chunk of chunks) {
              const stored = yield* chunkAt(chunk.agency, chunk.seq)
              assert.deepStrictEqual(stored, Option.some(chunk))
            }
            for (const seq of [0, -1, 3, 1.5, 2 ** 40]) {
              assert.isTrue(Option.isNone(yield* chunkAt(three, seq)), String(seq))
            }
          }))
      }))

    it.effect("bodies of 1 MiB", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const chunk = plainChunk(three, 1, 20_000)
        assert.isAbove(chunk.body.length, 1024 * 1024)
        yield* life(store, ({ commit }) => commit([chunk, plainChunk(three, 2, 1)]))
        const stored = yield* life(store, ({ chunkAt }) => chunkAt(three, 1))
        assert.deepStrictEqual(stored, Option.some(chunk))
      }))

    it.effect("an agency's bytes from any place on, across chunks", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const sizes = [3, 0, 1, 0, 0, 7, 40, 1, 0]
        const chunks = sizes.map((size, index) => plainChunk(three, index + 1, size))
        const all = Buffer.concat(chunks.map(({ body }) => body))
        const starts = chunks.map(({ body, seq }) => ({
          seq,
          bytes: body.length,
          at: Buffer.concat(chunks.slice(0, seq - 1).map((before) => before.body)).length
        }))
        const place = Arbitrary.schema(Schema.Struct({
          chunk: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: sizes.length - 1 })),
          offset: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })),
          bytes: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: all.length + 10 }))
        }))
        yield* life(store, (ledger) =>
          Effect.gen(function*() {
            yield* ledger.commit(chunks.flatMap((chunk) => [chunk, plainChunk(five, chunk.seq, 2)]))
            const check = yield* Arbitrary.checkEffect(place, (from) =>
              Effect.gen(function*() {
                const start = starts[from.chunk]
                assert.isDefined(start)
                const offset = Math.round(from.offset * start.bytes)
                const cursor = { seq: start.seq, offset }
                const read = yield* ledger.readBets(three, cursor, from.bytes)
                const expected = all.subarray(start.at + offset, start.at + offset + from.bytes)
                const rest = yield* ledger.readBets(three, read.next, all.length)
                const following = all.subarray(start.at + offset + expected.length)
                return expected.equals(read.bytes) && following.equals(rest.bytes)
              }), { runs: 150 })
            assert.strictEqual(check._tag, "Passed", Arbitrary.formatCheckFailure(check) ?? "")
          }))
      }))

    it.effect("what was stored after a reader had come to the end", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        yield* life(store, ({ commit, readBets }) =>
          Effect.gen(function*() {
            const none = yield* readBets(three, { seq: 1, offset: 0 }, 10)
            assert.deepStrictEqual(none, { bytes: new Uint8Array(0), next: { seq: 1, offset: 0 } })
            yield* commit([plainChunk(three, 1, 2)])
            const first = yield* readBets(three, none.next, 10_000)
            assert.deepStrictEqual(first.next, { seq: 2, offset: 0 })
            yield* commit([plainChunk(three, 2, 0), plainChunk(three, 3, 1)])
            const second = yield* readBets(three, first.next, 10_000)
            assert.deepStrictEqual(second.bytes, plainChunk(three, 3, 1).body)
          }))
      }))

    it.effect("the digest of the agency's CSV lines, as they grow", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const bets = yield* Arbitrary.sampleEffect(Arbitrary.schema(BetFields), { count: 60 })
        const fourBets = [7, 8, 9, 10].map((index) => betAt(index))
        const digestOf = (count: number) =>
          createHash("sha256").update(csvOf(three, bets.slice(0, count))).digest("hex")
        yield* life(store, ({ commit, digest }) =>
          Effect.gen(function*() {
            assert.deepStrictEqual(yield* digest(three), { seq: 0, bets: 0, digest: digestOf(0) })
            yield* commit([chunkOf(three, 1, bets.slice(0, 20)), chunkOf(five, 1, fourBets)])
            assert.deepStrictEqual(yield* digest(three), { seq: 1, bets: 20, digest: digestOf(20) })
            const other = createHash("sha256").update(csvOf(five, fourBets)).digest("hex")
            assert.deepStrictEqual(yield* digest(five), { seq: 1, bets: 4, digest: other })
            yield* commit([chunkOf(three, 2, []), chunkOf(three, 3, bets.slice(20))])
            const both = yield* Effect.all([digest(three), digest(three)], {
              concurrency: "unbounded"
            })
            for (const one of both) {
              assert.deepStrictEqual(one, { seq: 3, bets: 60, digest: digestOf(60) })
            }
          }))
        const again = yield* life(store, ({ digest }) => digest(three))
        assert.deepStrictEqual(again, { seq: 3, bets: 60, digest: digestOf(60) })
      }))

    it.effect("other chunks while it computes the digest of many bets", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const [large, small] = [plainChunk(three, 1, 20_000), plainChunk(five, 1, 1)]
        yield* life(store, ({ chunkAt, commit, digest }) =>
          Effect.gen(function*() {
            for (let seq = 1; seq <= 6; seq++) yield* commit([{ ...large, seq }])
            yield* commit([small])
            const [digested, chunk] = yield* Effect.all([digest(three), chunkAt(five, 1)], {
              concurrency: "unbounded"
            })
            assert.deepInclude(digested, { seq: 6, bets: 120_000 })
            assert.deepStrictEqual(chunk.valueOrUndefined, small)
          }))
      }))
  })

  describe(`${name} holds the draw`, () => {
    /** `numbers` with the winning one at the positions of `winning`. */
    const betsWith = (numbers: ReadonlyArray<number>) =>
      numbers.map((number, index) => betAt(index, number))
    const ends = [plainChunk(three, 3, 0, true), plainChunk(five, 2, 0, true)]

    it.effect("once, with the winners in the order stored", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const expected = new Map([
          [three, ["30000001", "30000003", "30000001"]],
          [five, ["30000000"]]
        ])
        const held = yield* life(store, ({ commit, holdDraw }) =>
          Effect.gen(function*() {
            yield* commit([
              chunkOf(three, 1, betsWith([1, 257, 256, 257])),
              // In bytes 00 01 01 00: the winning number lies across two others.
              chunkOf(five, 1, [betAt(0, 257), ...betsWith([1, 256]).slice(0, 2)]),
              chunkOf(three, 2, betsWith([0, 257, 9999, 1])),
              ...ends
            ])
            const draw = yield* Effect.fromOption(yield* holdDraw)
            assert.deepStrictEqual(yield* holdDraw, Option.some(draw))
            return draw
          }))
        assert.strictEqual(held.winningNumber, 257)
        assert.deepStrictEqual([...held.winners], [...expected])
        yield* life(store, ({ commit, holdDraw, standing }) =>
          Effect.gen(function*() {
            assert.deepStrictEqual((yield* standing).draw, Option.some(held))
            assert.deepStrictEqual(yield* holdDraw, Option.some(held))
            assert.isTrue(diesOf(yield* Effect.exit(commit([plainChunk(three, 4, 1)]))))
          }))
      }))

    it.effect("when a number occurs only across two others, without winners", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const draw = yield* life(store, ({ commit, holdDraw }) =>
          Effect.gen(function*() {
            yield* commit([
              chunkOf(three, 1, betsWith([1, 256])),
              plainChunk(three, 2, 0, true),
              plainChunk(five, 1, 0, true)
            ])
            return yield* Effect.fromOption(yield* holdDraw)
          }))
        assert.strictEqual(draw.winners.size, 0)
      }))

    it.effect("comparing numbers as integers, also 0", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const zero = { ...lottery, winningNumber: WinningNumber.make(0) }
        const bets = ["0", "0000", "1", "00"].map((number, index) =>
          Object.assign(betAt(index), { number })
        )
        const draw = yield* life(store, ({ commit, holdDraw }) =>
          Effect.gen(function*() {
            yield* commit([chunkOf(three, 1, bets, true), plainChunk(five, 1, 0, true)])
            return yield* Effect.fromOption(yield* holdDraw)
          }), zero)
        assert.deepStrictEqual(draw.winners.get(three), ["30000000", "30000001", "30000003"])
      }))

    it.effect("only when every agency has finished", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        yield* life(store, ({ commit, holdDraw }) =>
          Effect.gen(function*() {
            yield* commit([plainChunk(three, 1, 1, true), plainChunk(five, 1, 1)])
            assert.isTrue(Option.isNone(yield* holdDraw))
            yield* commit([plainChunk(five, 2, 0, true)])
            assert.isTrue(Option.isSome(yield* holdDraw))
          }))
      }))
  })

  ClaimSuite(name, makeStore)
}
