/**
 * What a home of the ledger must do besides when several servers use it at once. `makeStore` gives an empty store, which is
 * opened more than once: each opening is a server.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, type Scope, Stream } from "effect"
import { createHash } from "node:crypto"
import { AgencyId } from "../../src/domain/Agency.ts"
import { WinningNumber } from "../../src/domain/Draw.ts"
import { BetLedger, type LedgerOpenError, type News } from "../../src/services/ledger/BetLedger.ts"
import { betAt, chunkOf, csvOf, plainChunk, selling, underClaim } from "../support/LedgerChunks.ts"
import { waitUntil } from "../support/WaitUntil.ts"
import type { Lottery } from "./LedgerLife.ts"

export interface SharedStore {
  /** An opening under this name. */
  readonly layer: (lottery: Lottery, server: string) => Layer.Layer<BetLedger, LedgerOpenError>
}

const [three, five, eight] = [AgencyId.make(3), AgencyId.make(5), AgencyId.make(8)]
const lottery: Lottery = {
  roster: [three, five, eight],
  winningNumber: WinningNumber.make(257)
}

export const SharedLedgerSuite = (
  name: string,
  makeStore: Effect.Effect<SharedStore, never, Scope.Scope>
): void => {
  const open = (store: SharedStore, server: string) =>
    Effect.map(
      Layer.build(Layer.fresh(store.layer(lottery, server))),
      (context) => Effect.provideContext(BetLedger, context)
    ).pipe(Effect.flatten)

  /** Two servers, `here` and `there`, over one store. */
  const two = Effect.gen(function*() {
    const store = yield* makeStore
    const here = yield* open(store, "here")
    const there = yield* open(store, "there")
    return { store, here, there }
  })

  /** What the server is told from now on. */
  const heardBy = ({ news }: BetLedger["Service"]) =>
    Effect.gen(function*() {
      const heard: Array<News> = []
      yield* Effect.forkScoped(
        Stream.runForEach(news, (one) =>
          Effect.sync(() => {
            heard.push(one)
          })),
        { startImmediately: true }
      )
      return heard
    })

  const eventually = (what: string, holds: () => boolean) =>
    Effect.promise(() => waitUntil(what, holds))

  describe(`${name}, used by several servers,`, () => {
    it.live("begins once, when three open it at the same moment", () =>
      Effect.gen(function*() {
        const store = yield* makeStore
        const opened = yield* Effect.all(
          ["one", "two", "three"].map((server) => open(store, server)),
          { concurrency: "unbounded" }
        )
        assert.lengthOf(opened.filter((one) => one.opened.isNew), 1)
        assert.lengthOf([...new Set(opened.map((one) => one.opened.drawName))], 1)
      }))

    it.live("stores nothing that was decided on before another one claimed, but the others of the group", () =>
      Effect.gen(function*() {
        const { here, there } = yield* two
        const [of3, of5] = [yield* here.claim(three), yield* here.claim(five)]
        const again = yield* there.claim(three)
        assert.isAbove(again.epoch, of3.epoch)
        const late = underClaim(plainChunk(three, 1, 3), of3)
        const both = yield* here.commit([late, underClaim(plainChunk(five, 1, 2), of5)])
        assert.deepStrictEqual([...both.fenced], [three])
        assert.isTrue(Option.isNone(yield* there.chunkAt(three, 1)))
        assert.isTrue(Option.isSome(yield* there.chunkAt(five, 1)))
        const stored = yield* there.commit([underClaim(plainChunk(three, 1, 4), again)])
        assert.strictEqual(stored.fenced.size, 0)
        // The server whose claim is old doesn't get it back by trying again.
        assert.deepStrictEqual([...(yield* here.commit([late])).fenced], [three])
        assert.deepInclude(yield* here.claim(three), { seq: 1, bets: 4, finished: false })
      }))

    it.live("tells a new claim of every chunk that was on its way, or stores it no more", () =>
      Effect.gen(function*() {
        const { here, there } = yield* two
        let [stored, fenced] = [0, 0]
        let { bets, epoch, finished, seq } = yield* here.claim(three)
        for (let round = 1; round <= 200; round++) {
          const [by, next] = round % 2 === 1 ? [here, there] : [there, here]
          const chunk = underClaim(plainChunk(three, seq + 1, 5), { bets, epoch, finished, seq })
          const storing = yield* Effect.forkChild(by.commit([chunk]), { startImmediately: true })
          for (let turn = 0; turn < round % 7; turn++) yield* Effect.yieldNow
          const claim = yield* next.claim(three)
          const result = yield* Fiber.join(storing)
          const isStored = !result.fenced.has(three)
          assert.strictEqual(claim.seq, seq + (isStored ? 1 : 0), `round ${round}`)
          assert.strictEqual(claim.bets, bets + (isStored ? 5 : 0), `round ${round}`)
          if (isStored) stored++
          else fenced++
          ;({ bets, epoch, finished, seq } = claim)
        }
        assert.isAbove(stored, 0)
        assert.isAbove(fenced, 0)
        assert.strictEqual(bets, stored * 5)
      }))

    it.live("gives two claims of one agency at the same moment different epochs", () =>
      Effect.gen(function*() {
        const { here, there } = yield* two
        const claims = yield* Effect.all(
          Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? here : there).claim(three)),
          { concurrency: "unbounded" }
        )
        const epochs = claims.map(({ epoch }) => Number(epoch)).toSorted((a, b) => a - b)
        assert.deepStrictEqual(epochs, Array.from({ length: 20 }, (_, index) => index + 1))
      }))

    it.live("shows each what the other has stored: chunks, bytes and digests", () =>
      Effect.gen(function*() {
        const { here, there } = yield* two
        const [first, second] = [[betAt(1), betAt(2)], [betAt(3)]]
        yield* selling(here).commit([chunkOf(three, 1, first)])
        yield* there.digest(three)
        yield* selling(there).commit([chunkOf(three, 2, second)])
        const digest = createHash("sha256").update(csvOf(three, [...first, ...second])).digest(
          "hex"
        )
        for (const server of [here, there]) {
          assert.deepStrictEqual(yield* server.digest(three), { seq: 2, bets: 3, digest })
          const { bytes } = yield* server.readBets(three, { seq: 1, offset: 0 }, 100_000)
          const bodies = [first, second].map((bets, index) => chunkOf(three, index + 1, bets).body)
          assert.isTrue(Buffer.concat(bodies).equals(bytes))
        }
      }))

    it.live("says to a server that another one has claimed its agency, and not what it claims itself", () =>
      Effect.gen(function*() {
        const { here, there } = yield* two
        const heard = yield* heardBy(here)
        yield* here.claim(three)
        yield* here.claim(three)
        yield* there.claim(five)
        const { epoch } = yield* there.claim(three)
        yield* eventually("news of the claim", () => heard.some(({ _tag }) => _tag === "Claimed"))
        const claimed = heard.filter(({ _tag }) => _tag === "Claimed")
        assert.deepStrictEqual(claimed, [{ _tag: "Claimed", agency: three, epoch }])
      }))

    it.live("gives all news to each who listens", () =>
      Effect.gen(function*() {
        const { here, there } = yield* two
        const [one, other] = [yield* heardBy(here), yield* heardBy(here)]
        yield* here.claim(five)
        yield* there.claim(five)
        const isThere = (heard: ReadonlyArray<News>) => heard.some(({ _tag }) => _tag === "Claimed")
        yield* eventually("news for both", () => isThere(one) && isThere(other))
      }))

    it.live("holds one draw, whoever sees that it is due, and tells the others", () =>
      Effect.gen(function*() {
        const { here, store, there } = yield* two
        const heard = yield* heardBy(there)
        yield* selling(here).commit([
          chunkOf(three, 1, [betAt(0, 257), betAt(1, 1), betAt(2, 257)], true),
          chunkOf(five, 1, [betAt(3, 257)], true)
        ])
        assert.isTrue(Option.isNone(yield* there.holdDraw))
        assert.deepStrictEqual([...(yield* there.standing).finished], [three, five])
        yield* selling(there).commit([chunkOf(eight, 1, [], true)])
        heard.length = 0
        const draws = yield* Effect.all(
          [here.holdDraw, there.holdDraw, here.holdDraw, there.holdDraw],
          { concurrency: "unbounded" }
        )
        const winners = new Map([[three, ["30000000", "30000002"]], [five, ["30000003"]]])
        for (const draw of draws) {
          assert.deepStrictEqual(
            draw,
            Option.some({ winningNumber: lottery.winningNumber, winners })
          )
        }
        yield* eventually("news of the draw", () => heard.some(({ _tag }) => _tag === "Changed"))
        const late = yield* open(store, "late")
        assert.deepStrictEqual((yield* late.standing).draw, draws[0])
        assert.deepStrictEqual([...(yield* late.standing).finished], [three, five, eight])
      }))

    it.live("keeps who was told by any server, and what is sure before what is not", () =>
      Effect.gen(function*() {
        const { here, there } = yield* two
        const record = (agency: AgencyId, how: "confirmed" | "sent", port: number) => ({
          agency,
          how,
          at: "2026-11-28T12:00:00+00:00",
          address: "10.0.0.1",
          port,
          served: how === "confirmed"
        })
        yield* Effect.all([
          here.told([record(three, "sent", 1), record(five, "confirmed", 2)]),
          there.told([record(three, "confirmed", 3), record(five, "sent", 4)]),
          here.told([record(three, "sent", 5)])
        ], { concurrency: "unbounded" })
        for (const server of [here, there]) {
          assert.deepStrictEqual([...(yield* server.toldRecords)], [
            [three, record(three, "confirmed", 3)],
            [five, record(five, "confirmed", 2)]
          ])
        }
      }))
  })
}
