/** What an agency notices of its own bet file while it sends it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { checkedBets, fileOf, onceTo, trial } from "../../support/AgencyTrial.ts"
import { sales } from "../../support/Sales.ts"

describe("bets that change while they are sent", () => {
  const all = sales(3, 40)
  for (
    const [what, changed, problem] of [
      ["shrink", all.slice(0, 25), "it had 40 bets and has 25 now"],
      ["shrink to none", [], "it had 40 bets and has 0 now"],
      ["grow", [...all, ...sales(4, 5)], "it had 40 bets and has more now"],
      ["differ", [...all.slice(0, 30), ...sales(4, 10)], "its bets are not the same any more"]
    ] as const
  ) {
    it.live(`that ${what} are noticed before the last chunk is sent`, () =>
      Effect.gen(function*() {
        const { central, client } = yield* trial
        const { deliver } = yield* client({ windowChunks: 1 })
        const error = yield* Effect.flip(deliver(fileOf(changed), { checked: checkedBets(3, all) }))
        assert.strictEqual(error._tag, "BetsChanged")
        assert.include(error.message, problem)
        assert.isFalse(central.finished)
        assert.isTrue(central.chunks().every(({ type_message }) => type_message === 1))
        assert.deepStrictEqual(central.bets, all.slice(0, central.bets.length))
      }).pipe(Effect.scoped))
  }

  it.live("are noticed after a lost connection too, also when fewer are left than are stored", () =>
    Effect.gen(function*() {
      const { central, client } = yield* trial
      const { deliver } = yield* client({ windowChunks: 1 })
      onceTo(central, 3, () => "cut")
      let run = 0
      const bets = Stream.suspend(() => fileOf(run++ === 0 ? all : all.slice(0, 15)))
      const error = yield* Effect.flip(deliver(bets, { checked: checkedBets(3, all) }))
      assert.strictEqual(error._tag, "BetsChanged")
      assert.include(error.message, "it had 40 bets and has 15 now")
      assert.deepStrictEqual(central.bets, all.slice(0, 20))
      assert.isFalse(central.finished)
    }).pipe(Effect.scoped))
})
