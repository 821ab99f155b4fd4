import { assert, describe, it } from "@effect/vitest"
import { Option, Schema } from "effect"
import { AgencyId, formatRoster, parseRoster, type Roster } from "../../src/domain/Agency.ts"

const Ids = Schema.Array(AgencyId.check(Schema.isLessThanOrEqualTo(999_999_999_999_999)))
  .check(Schema.isMinLength(1), Schema.isMaxLength(20))

const read = (text: string): ReadonlyArray<number> | undefined =>
  Option.getOrUndefined(parseRoster(text, 100))

describe("Roster", () => {
  it("reads N as the agencies 1 to N", () => {
    assert.deepStrictEqual(read("5"), [1, 2, 3, 4, 5])
    assert.deepStrictEqual(read("1"), [1])
  })

  it("reads a list as exactly those, ascending, and takes a final comma", () => {
    assert.deepStrictEqual(read("3,5"), [3, 5])
    assert.deepStrictEqual(read("5,3,"), [3, 5])
    assert.deepStrictEqual(read("3,"), [3])
  })

  it("refuses what is no roster", () => {
    for (const text of ["", ",", "0", "01", "-1", "1.5", "3,,5", ",3", "3, 5", "a", "3,3", "1e3"]) {
      assert.isUndefined(read(text), text)
    }
  })

  it("refuses more agencies than the limit, without making room for them", () => {
    assert.isUndefined(read("101"))
    assert.isUndefined(read("999999999999999"))
    assert.isDefined(read("100"))
    assert.isTrue(Option.isNone(parseRoster("1,2,3", 2)))
  })

  it.prop("formats a roster so that it reads back as the same", [Ids], ([ids]) => {
    const roster: Roster = [...new Set(ids)].toSorted((a, b) => a - b)
    assert.deepStrictEqual(read(formatRoster(roster)), roster)
  })

  it.prop("formats the agencies 1 to N as N", [
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 }))
  ], ([count]) => {
    const roster = Option.getOrThrow(parseRoster(String(count), 100))
    assert.strictEqual(formatRoster(roster), String(count))
  })
})
