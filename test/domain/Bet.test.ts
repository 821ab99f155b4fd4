import { assert, describe, it } from "@effect/vitest"
import { Option, Schema } from "effect"
import {
  BetFields,
  betOfFields,
  fieldsOfBet,
  PayloadItem,
  payloadItem
} from "../../src/domain/Bet.ts"
import {
  invalidField,
  isBirthdate,
  isDocument,
  isName,
  isNumber
} from "../../src/domain/BetRules.ts"

describe("Bet", () => {
  it.prop("round-trips through its five fields", [BetFields], ([bet]) => {
    assert.deepStrictEqual(betOfFields(fieldsOfBet(bet)), Option.some(bet))
    assert.isUndefined(invalidField(fieldsOfBet(bet)))
  }, { arbitrary: { runs: 300 } })

  it.prop("round-trips through a payload item, which is text unless a name holds a comma", [
    BetFields
  ], ([bet]) => {
    const item = payloadItem(bet)
    assert.deepStrictEqual(Schema.decodeUnknownSync(PayloadItem)(item), bet)
    assert.deepStrictEqual(Schema.encodeSync(PayloadItem)(bet), item)
    assert.strictEqual(Array.isArray(item), `${bet.firstName}${bet.lastName}`.includes(","))
  }, { arbitrary: { runs: 300 } })

  it("is not made of four or six fields", () => {
    const fields = ["Ana", "Paz", "30904465", "1999-03-17", "2201"]
    assert.isTrue(Option.isSome(betOfFields(fields)))
    assert.isTrue(Option.isNone(betOfFields(fields.slice(0, 4))))
    assert.isTrue(Option.isNone(betOfFields([...fields, ""])))
  })
})

describe("BetRules", () => {
  it("counts a name's characters as code points", () => {
    assert.isTrue(isName("😀".repeat(100)))
    assert.isFalse(isName("😀".repeat(101)))
    assert.isTrue(isName("ñ".repeat(100)))
    assert.isFalse(isName("a".repeat(101)))
    assert.isFalse(isName(""))
  })

  it("refuses control characters and unpaired surrogates in names", () => {
    for (const bad of ["\0", "\t", "\n", "\x1f", "\x7f", "\x80", "\x9f", "\ud800", "\udfff"]) {
      assert.isFalse(isName(`a${bad}b`), JSON.stringify(bad))
    }
    for (const good of [" ", "\xa0", "\u2028", "\ufeff", "\uffff", "'", "\"", ",", "\\"]) {
      assert.isTrue(isName(`a${good}b`), JSON.stringify(good))
    }
  })

  it("takes one to twenty ASCII letters and digits as a document", () => {
    for (const good of ["1", "30904465", "AB12z", "x".repeat(20)]) assert.isTrue(isDocument(good))
    for (const bad of ["", "x".repeat(21), "30.904.465", "ñ", "1\n", "٣"]) {
      assert.isFalse(isDocument(bad), JSON.stringify(bad))
    }
  })

  it("takes only days that the calendar has as a birthdate", () => {
    for (const good of ["2000-02-29", "2024-02-29", "1999-12-31", "0001-01-01", "9999-04-30"]) {
      assert.isTrue(isBirthdate(good), good)
    }
    const bads = [
      "1900-02-29",
      "2023-02-29",
      "1999-04-31",
      "1999-13-01",
      "1999-00-01",
      "1999-01-00",
      "0000-01-01",
      "1999-1-1",
      "99-01-01",
      "1999/01/01",
      "1999-01-01 ",
      "1999-01-01\n",
      ""
    ]
    for (const bad of bads) assert.isFalse(isBirthdate(bad), JSON.stringify(bad))
  })

  it("agrees with the calendar of the machine on every day of a leap cycle", () => {
    for (let day = Date.UTC(1896, 0, 1); day < Date.UTC(2005, 0, 1); day += 86_400_000) {
      assert.isTrue(isBirthdate(new Date(day).toISOString().slice(0, 10)))
    }
  })

  it("takes one to four digits as a number", () => {
    for (const good of ["0", "7574", "0000", "9999"]) assert.isTrue(isNumber(good))
    for (const bad of ["", "10000", "-1", "+1", "1.0", " 1", "1\n", "٣"]) {
      assert.isFalse(isNumber(bad))
    }
  })

  it("names the first field that breaks its rule", () => {
    const fields = ["Ana", "Paz", "30904465", "1999-03-17", "2201"]
    const names = ["first name", "last name", "document", "birthdate", "number"]
    assert.isUndefined(invalidField(fields))
    for (const [index, name] of names.entries()) {
      assert.strictEqual(invalidField(fields.with(index, "\t")), name)
    }
    assert.strictEqual(invalidField([]), "first name")
  })
})
