/** One chunk of an agency at a time, settled once, whatever becomes of the others of its group. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit } from "effect"
import { AgencyId } from "../../../src/domain/Agency.ts"
import { ChunksInHand, type PendingChunk } from "../../../src/services/ledger/ChunksInHand.ts"
import { plainChunk, underClaim } from "../../support/LedgerChunks.ts"

const pendingOf = (agency: number, settling: Partial<PendingChunk> = {}): PendingChunk => ({
  chunk: underClaim(plainChunk(AgencyId.make(agency), 1, 1)),
  onStored: () => undefined,
  onFailed: () => "settled",
  onLost: () => {},
  ...settling
})

describe("chunks in hand", () => {
  it.effect("are one of an agency at most, until it is settled, stored or not", () =>
    Effect.gen(function*() {
      const inHand = new ChunksInHand()
      const [one, two] = [pendingOf(1), pendingOf(2, { onFailed: () => "stay" })]
      inHand.enter(one)
      inHand.enter(two)
      assert.throws(() => inHand.enter(one), /an agency has one chunk in hand at most/)
      assert.deepStrictEqual(inHand.settleFailed([one, two], 50), [two])
      inHand.enter(one)
      assert.throws(() => inHand.enter(two), /an agency has one chunk in hand at most/)
      yield* inHand.settleStored([two, one])
      inHand.enter(two)
    }))

  it.effect("are settled once", () =>
    Effect.gen(function*() {
      const inHand = new ChunksInHand()
      let settled = 0
      const pending = pendingOf(1, { onStored: () => void settled++ })
      inHand.enter(pending)
      yield* inHand.settleStored([pending])
      const again = yield* Effect.exit(inHand.settleStored([pending]))
      assert.match(
        Exit.isFailure(again) ? Cause.pretty(again.cause) : "",
        /a chunk is settled once/
      )
      assert.throws(() => inHand.settleFailed([pending], 50), /a chunk is settled once/)
      assert.strictEqual(settled, 1)
    }))

  it.effect("that are on disk are settled all, in order, and then the first defect comes out", () =>
    Effect.gen(function*() {
      const inHand = new ChunksInHand()
      const settled: Array<number> = []
      const group = [
        pendingOf(1, { onStored: () => Effect.sync(() => settled.push(1)) }),
        pendingOf(2, { onStored: () => Effect.die("first") }),
        pendingOf(3, {
          onStored: () => {
            throw new Error("second")
          }
        }),
        pendingOf(4, { onStored: () => void settled.push(4) })
      ]
      for (const pending of group) inHand.enter(pending)
      const exit = yield* Effect.exit(inHand.settleStored(group))
      assert.deepStrictEqual(exit, Exit.die("first"))
      assert.deepStrictEqual(settled, [1, 4])
    }))
})
