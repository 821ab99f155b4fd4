import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { BetFields, fieldsOfBet } from "../../src/domain/Bet.ts"
import { recordOf } from "../../src/domain/BetRecord.ts"
import { csvLine, csvOfBody } from "../../src/domain/Csv.ts"

const Bets = Schema.Array(BetFields).check(Schema.isMaxLength(6))
const Agency = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 }))

describe("the bet file", () => {
  it("quotes a field only when it must", () => {
    assert.strictEqual(
      csvLine(3, ["Santiago Lionel", "Lorca", "30904465", "1999-03-17", "2201"]),
      "3,Santiago Lionel,Lorca,30904465,1999-03-17,2201\r\n"
    )
    assert.strictEqual(
      csvLine(1, ["a,b", "c\"d", "e f", "'g'", ""]),
      "1,\"a,b\",\"c\"\"d\",e f,'g',\r\n"
    )
    assert.strictEqual(csvLine(1, ["a\nb", "c\rd"]), "1,\"a\nb\",\"c\rd\"\r\n")
  })

  it.prop(
    "is made of stored bytes as of fields, line for line",
    [Agency, Bets],
    ([agency, bets]) => {
      const body = new TextEncoder().encode(bets.map((bet) => recordOf(fieldsOfBet(bet))).join(""))
      assert.strictEqual(
        new TextDecoder("utf-8", { ignoreBOM: true }).decode(csvOfBody(agency, body)),
        bets.map((bet) => csvLine(agency, fieldsOfBet(bet))).join("")
      )
    },
    { arbitrary: { runs: 300 } }
  )

  it("is made of plain stored bytes without a quote or comma in them", () => {
    const body = new TextEncoder().encode(
      "Sofía\tPaz\t1\t1999-03-17\t7\nA\tB\t2\t1999-03-17\t0042\n"
    )
    assert.strictEqual(
      new TextDecoder().decode(csvOfBody(12, body)),
      "12,Sofía,Paz,1,1999-03-17,7\r\n12,A,B,2,1999-03-17,0042\r\n"
    )
    assert.strictEqual(csvOfBody(12, new Uint8Array(0)).length, 0)
  })
})
