import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { BetFields, fieldsOfBet, recordOfBet } from "../../src/domain/Bet.ts"
import { csvLine, csvOfBody, CsvReader, lineCharactersMax, parseCsv } from "../../src/domain/Csv.ts"

const Bets = Schema.Array(BetFields).check(Schema.isMaxLength(6))
const Agency = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 }))

/** An agency's own file: the bet file without its first column. */
const fileOf = (bets: ReadonlyArray<BetFields>, lineEnd: string): string =>
  bets.map((bet) => csvLine(1, fieldsOfBet(bet)).slice(2, -2) + lineEnd).join("")

const recordsOf = (bets: ReadonlyArray<BetFields>) =>
  bets.map((bet, index) => ({ _tag: "Record", line: index + 1, fields: fieldsOfBet(bet) }))

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
      const body = new TextEncoder().encode(bets.map(recordOfBet).join(""))
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

describe("an agency's bet file", () => {
  for (const [name, lineEnd] of [["CRLF", "\r\n"], ["LF", "\n"]] as const) {
    it.prop(`reads back with ${name}, with and without the final line end`, [Bets], ([bets]) => {
      const file = fileOf(bets, lineEnd)
      assert.deepStrictEqual<unknown>(parseCsv(file), recordsOf(bets))
      const open = file.slice(0, file.length - lineEnd.length)
      assert.deepStrictEqual<unknown>(parseCsv(`\ufeff${open}`), recordsOf(bets))
    }, { arbitrary: { runs: 200 } })
  }

  it.prop("reads the same in whatever pieces it comes", [
    Bets,
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20 }))
  ], ([bets, length]) => {
    const file = `\ufeff${fileOf(bets, "\r\n")}"broken`
    const reader = new CsvReader()
    const steps = []
    for (let at = 0; at < file.length; at += length) {
      steps.push(...reader.push(file.slice(at, at + length)))
    }
    assert.deepStrictEqual([...steps, ...reader.end()], parseCsv(file))
  }, { arbitrary: { runs: 200 } })

  it("is read with quotes where none are needed, and with line ends inside them", () => {
    assert.deepStrictEqual<unknown>(
      parseCsv("\"a\",\"b \"\"c\"\"\",\"\",\"x\r\ny\",1\nd,e,f,g,h"),
      [
        { _tag: "Record", line: 1, fields: ["a", "b \"c\"", "", "x\r\ny", "1"] },
        { _tag: "Record", line: 3, fields: ["d", "e", "f", "g", "h"] }
      ]
    )
    assert.deepStrictEqual(parseCsv(""), [])
    assert.deepStrictEqual(parseCsv("\ufeff"), [])
  })

  it("names the line of the first fault and stops there, without quoting it", () => {
    const faults: ReadonlyArray<readonly [string, number, string]> = [
      ["a,b,c,d,e\na,b,c,d\na,b,c,d,e\n", 2, "4 fields instead of 5"],
      ["a,b,c,d,e,f", 1, "6 fields instead of 5"],
      ["\n", 1, "1 fields instead of 5"],
      ["a,b,c,d,e\r\n\"a,b", 2, "a quoted field is not closed"],
      ["a,b,c,d,\"e\"x", 1, "text after a closing quote"],
      ["a,b\"c,d,e,f", 1, "a quote inside an unquoted field"],
      ["a,b,c,d,e\rx", 1, "a carriage return without a line feed"],
      ["a,b,c,d,e\r", 1, "a carriage return without a line feed"],
      [`a,b,c,d,${"e".repeat(lineCharactersMax)}`, 1, "the line is too long"]
    ]
    for (const [file, line, problem] of faults) {
      assert.deepStrictEqual<unknown>(parseCsv(file).at(-1), { _tag: "Fault", line, problem })
      assert.strictEqual(parseCsv(file).length, line)
    }
  })
})
