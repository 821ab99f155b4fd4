import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { BetFields, fieldsOfBet } from "../../../src/domain/Bet.ts"
import { csvLine } from "../../../src/domain/Csv.ts"
import { CsvReader, type CsvStep, lineBytesMax } from "../../../src/services/agency/CsvReader.ts"

const Bets = Schema.Array(BetFields).check(Schema.isMaxLength(6))

const utf8 = new TextEncoder()
const parseBytes = (bytes: Uint8Array): ReadonlyArray<CsvStep> => {
  const reader = new CsvReader()
  return [...reader.push(bytes), ...reader.end()]
}
const parseCsv = (text: string) => parseBytes(utf8.encode(text))

/** An agency's own file: the bet file without its first column. */
const fileOf = (bets: ReadonlyArray<BetFields>, lineEnd: string): string =>
  bets.map((bet) => csvLine(1, fieldsOfBet(bet)).slice(2, -2) + lineEnd).join("")

const recordsOf = (bets: ReadonlyArray<BetFields>) =>
  bets.map((bet, index) => ({ _tag: "Record", line: index + 1, fields: fieldsOfBet(bet) }))

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
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20 })),
    Schema.Int.check(Schema.isBetween({ minimum: lineBytesMax - 2, maximum: lineBytesMax + 3 }))
  ], ([bets, length, long]) => {
    const awkward = [..."\r\n\u0000é", "\"broken\r\n", ",,,,\r\n", "ñ".repeat(long / 2), "\r\n"]
    const bytes = Uint8Array.from([
      ...utf8.encode(`\ufeff${fileOf(bets, "\r\n")}${awkward.join("")}`),
      0xf1,
      0x2c,
      0x0a,
      0xc3,
      0x0a,
      ...utf8.encode(`${"x".repeat(long)}\r\n${fileOf(bets, "\n")}é"`)
    ])
    const reader = new CsvReader()
    const steps: Array<CsvStep> = []
    for (let at = 0; at < bytes.length; at += length) {
      steps.push(...reader.push(bytes.subarray(at, at + length)))
    }
    assert.deepStrictEqual([...steps, ...reader.end()], parseBytes(bytes))
  }, { arbitrary: { runs: 50 } })

  it("is read with quotes where none are needed", () => {
    assert.deepStrictEqual<unknown>(
      parseCsv("\"a\",\"b \"\"c\"\"\",\"\",\"x, y\",1\nd,e,f,g,\"\"\n,,,,"),
      [
        { _tag: "Record", line: 1, fields: ["a", "b \"c\"", "", "x, y", "1"] },
        { _tag: "Record", line: 2, fields: ["d", "e", "f", "g", ""] },
        { _tag: "Record", line: 3, fields: ["", "", "", "", ""] }
      ]
    )
    assert.deepStrictEqual(parseCsv(""), [])
    assert.deepStrictEqual(parseCsv("\ufeff"), [])
  })

  it("names each line with a fault without quoting it, and goes on with the next", () => {
    const faults: ReadonlyArray<readonly [string, string]> = [
      ["a,b,c,d", "4 fields instead of 5"],
      ["a", "1 field instead of 5"],
      ["a,b,c,d,e,f", "6 fields instead of 5"],
      ["", "the line is empty"],
      ["\"a,b", "a quoted field is not closed"],
      ["a,b,c,d,\"e\"\"", "a quoted field is not closed"],
      ["a,b,c,d,\"e\"x", "text after a closing quote"],
      ["a,b\"c,d,e,f", "a quote inside an unquoted field"],
      ["a,b,c,d,e\rx", "a carriage return without a line feed"],
      [`a,b,c,d,${"e".repeat(lineBytesMax)}`, "the line is too long"]
    ]
    const good = "a,b,c,d,e"
    const steps = parseCsv(faults.map(([line]) => `${good}\n${line}\r\n`).join("") + good)
    assert.lengthOf(steps, 2 * faults.length + 1)
    for (const [index, step] of steps.entries()) {
      const problem = index % 2 === 0 ? undefined : faults[(index - 1) / 2]?.[1]
      assert.deepStrictEqual(
        [step.line, step._tag === "Fault" ? step.problem : undefined],
        [index + 1, problem]
      )
    }
    const end = parseCsv("a,b,c,d,e\r").at(0)
    assert.strictEqual(
      end?._tag === "Fault" && end.problem,
      "a carriage return without a line feed"
    )
  })

  it("tells which lines are not UTF-8", () => {
    const latin = Uint8Array.from(
      "Mu\xf1oz,a,b,c,d\na,b,c,d,e\nPe\xf1a;1",
      (character) => character.charCodeAt(0)
    )
    assert.deepStrictEqual<unknown>(parseBytes(latin), [
      { _tag: "Fault", line: 1, problem: "not UTF-8", fields: ["Muñoz", "a", "b", "c", "d"] },
      { _tag: "Record", line: 2, fields: ["a", "b", "c", "d", "e"] },
      { _tag: "Fault", line: 3, problem: "not UTF-8", fields: ["Peña;1"] }
    ])
  })
})
