import { assert, describe, it } from "@effect/vitest"
import { Option, Schema } from "effect"
import { BetFields, betOfFields, fieldsOfBet } from "../../src/domain/Bet.ts"
import {
  countBets,
  fieldsOfRecord,
  recordOf,
  sizesAgree,
  splitRecords
} from "../../src/domain/BetRecord.ts"

const utf8 = new TextEncoder()

describe("the records of bets", () => {
  it.prop(
    "joined to a body, give the same bets back",
    [Schema.Array(BetFields).check(Schema.isMaxLength(6))],
    ([bets]) => {
      const text = bets.map((bet) => recordOf(fieldsOfBet(bet))).join("")
      const records = splitRecords(text)
      assert.strictEqual(records.pop(), "")
      assert.deepStrictEqual(
        records.map((record) => betOfFields(fieldsOfRecord(record))),
        bets.map((bet) => Option.some(bet))
      )
      const body = utf8.encode(text)
      assert.strictEqual(countBets(body), bets.length)
      assert.isTrue(sizesAgree(bets.length, new Uint8Array(2 * bets.length), body))
    },
    { arbitrary: { runs: 300 } }
  )

  it("are as many as the numbers beside them, no shorter than a bet can be, and whole", () => {
    const shortest = recordOf(["a", "b", "1", "1999-03-17", "7"])
    const agrees = (bets: number, numbers: number, text: string) =>
      sizesAgree(bets, new Uint8Array(2 * numbers), utf8.encode(text))
    assert.isTrue(agrees(0, 0, ""))
    assert.isTrue(agrees(2, 2, shortest + shortest))
    assert.isFalse(agrees(2, 1, shortest + shortest))
    assert.isFalse(agrees(2, 2, shortest))
    assert.isFalse(agrees(1, 1, `${shortest}x`))
    assert.isFalse(agrees(0, 0, shortest))
  })
})
