import { assert, describe, it } from "@effect/vitest"
import { readMessage } from "../../src/parser/ChunkReader.ts"

const read = (json: string | Uint8Array) =>
  readMessage(typeof json === "string" ? new TextEncoder().encode(json) : json)

const bet = "\"Santiago Lionel,Lorca,30904465,1999-03-17,2201\""
/** Code, agency, seq and index of a refusal. */
const refused = (json: string | Uint8Array): ReadonlyArray<unknown> => {
  const parsed = read(json)
  return parsed._tag === "Refused"
    ? [parsed.code, parsed.agency, parsed.seq, parsed.index]
    : [parsed._tag]
}

describe("a message of the bets port", () => {
  it("is a chunk, or the last one, in either dialect", () => {
    const first = read(`{"type_message": 1, "agency": 3, "seq": 17, "payload": [${bet}]}`)
    assert.deepStrictEqual(first, {
      _tag: "Chunk",
      agency: 3,
      seq: 17,
      last: false,
      bets: 1,
      numbers: Uint8Array.of(2201 >> 8, 2201 & 0xff),
      body: new TextEncoder().encode("Santiago Lionel\tLorca\t30904465\t1999-03-17\t2201\n")
    })
    const last = read("{\"type_message\": \"2\", \"agency\": \"3\", \"payload\": []}")
    assert.deepInclude(last, { _tag: "Chunk", agency: 3, seq: undefined, last: true, bets: 0 })
  })

  it("takes five strings where names hold commas, and unknown keys", () => {
    const parsed = read(
      "{\"x\":{\"y\":[1]},\"type_message\":1,\"agency\":1,\"payload\":[[\"A\",\"Lorca, hijo\",\"1\",\"1999-03-17\",\"0042\"]]}"
    )
    assert.deepInclude(parsed, {
      body: new TextEncoder().encode("A\tLorca, hijo\t1\t1999-03-17\t0042\n"),
      numbers: Uint8Array.of(0, 42)
    })
  })

  it("may be RESUME, and a consult is at the wrong port whatever it holds", () => {
    assert.deepStrictEqual(read("{\"type_message\":4,\"agency\":\"12\"}"), {
      _tag: "Resume",
      agency: 12
    })
    assert.deepStrictEqual(refused("{\"type_message\":4}"), [
      "INVALID_MESSAGE",
      undefined,
      undefined,
      undefined
    ])
    for (const consult of ["{\"type_message\":3}", "{\"type_message\":\"3\",\"agency\":null}"]) {
      assert.deepStrictEqual(read(consult), { _tag: "WrongPort", agency: undefined })
    }
    assert.deepStrictEqual(read("{\"type_message\":\"3\",\"agency\":\"7\",\"payload\":null}"), {
      _tag: "WrongPort",
      agency: 7
    })
  })

  it("takes the last of duplicate keys, and a __proto__ for a key like any other", () => {
    assert.deepInclude(
      read(`{"type_message":1,"agency":1,"agency":2,"payload":[${bet}],"payload":[]}`),
      { _tag: "Chunk", agency: 2, bets: 0 }
    )
    assert.deepStrictEqual(
      refused("{\"__proto__\":{\"type_message\":1,\"agency\":1,\"payload\":[]}}"),
      ["INVALID_MESSAGE", undefined, undefined, undefined]
    )
    assert.deepInclude(read("{\"__proto__\":[],\"type_message\":1,\"agency\":1,\"payload\":[]}"), {
      _tag: "Chunk"
    })
    assert.isUndefined(Object.getOwnPropertyDescriptor(Object.prototype, "type_message"))
  })

  it("is refused as INVALID_MESSAGE, with what could be read of agency and seq", () => {
    const nothing = ["INVALID_MESSAGE", undefined, undefined, undefined]
    const chunk = "\"type_message\":1,\"agency\":3,\"payload\":[]"
    const bom = Uint8Array.of(0xef, 0xbb, 0xbf, ...new TextEncoder().encode(`{${chunk}}`))
    for (const bad of ["", "null", "[]", "1", "{", "\"a\"", `{${chunk}}x`, bom]) {
      assert.deepStrictEqual(refused(bad), nothing, String(bad))
    }
    assert.deepStrictEqual(refused(Uint8Array.of(0x7b, 0xff, 0x7d)), nothing)
    for (const type of ["0", "5", "-1", "1.5", "\"01\"", "\"1 \"", "null", "true", "[1]"]) {
      assert.deepStrictEqual(
        refused(`{"type_message":${type},"agency":"3","seq":9,"payload":[]}`),
        ["INVALID_MESSAGE", 3, 9, undefined],
        type
      )
    }
    for (const agency of ["0", "-3", "1.5", "\"03\"", "\"\"", "null", "9007199254740992", "[3]"]) {
      assert.deepStrictEqual(
        refused(`{"type_message":1,"agency":${agency},"seq":9,"payload":[]}`),
        ["INVALID_MESSAGE", undefined, 9, undefined],
        agency
      )
    }
    for (const seq of ["0", "-1", "1.5", "\"1\"", "null", "9007199254740992", "1e300"]) {
      assert.deepStrictEqual(
        refused(`{"type_message":1,"agency":3,"seq":${seq},"payload":[]}`),
        ["INVALID_MESSAGE", 3, undefined, undefined],
        seq
      )
    }
    for (const payload of ["null", "{}", "\"\"", "{\"length\":0}"]) {
      assert.deepStrictEqual(
        refused(`{"type_message":1,"agency":3,"payload":${payload}}`),
        ["INVALID_MESSAGE", 3, undefined, undefined],
        payload
      )
    }
  })

  it("is refused as INVALID_BET at the first bet that breaks a rule", () => {
    const bad = [
      "1",
      "null",
      "{}",
      "[]",
      "\"\"",
      "\"a,b,1,1999-01-01\"",
      "\"a,b,1,1999-01-01,2,\"",
      "[\"a\",\"b\",\"1\",\"1999-01-01\"]",
      "[\"a\",\"b\",\"1\",\"1999-01-01\",2]",
      "[\"a\",\"b\",\"1\",\"1999-01-01\",\"2\",\"3\"]",
      "\",b,1,1999-01-01,2\"",
      "\"a\\tb,b,1,1999-01-01,2\"",
      "\"a,\\ud800,1,1999-01-01,2\"",
      "\"a,b,1 ,1999-01-01,2\"",
      "\"a,b,1,1999-02-29,2\"",
      "\"a,b,1,1999-01-01,10000\"",
      "[[[[[]]]]]"
    ]
    for (const item of bad) {
      assert.deepStrictEqual(
        refused(`{"type_message":1,"agency":3,"seq":2,"payload":[${bet},${item},1]}`),
        ["INVALID_BET", 3, 2, 1],
        item
      )
    }
  })

  it("is refused without quoting any value of the bettor", () => {
    const parsed = read(
      "{\"type_message\":1,\"agency\":3,\"payload\":[\"Santiago\\u0000,Lorca,30904465,1999-03-17,2201\"]}"
    )
    assert.deepInclude(parsed, { message: "bet 0: the first name is not valid" })
    assert.notMatch(JSON.stringify(parsed), /Santiago|Lorca|30904465|1999|2201/)
  })

  it("is refused, not fatal, when it nests without end", () => {
    const deep = 200_000
    assert.strictEqual(refused("[".repeat(deep))[0], "INVALID_MESSAGE")
    const nested = "[".repeat(deep) + "]".repeat(deep)
    assert.strictEqual(
      refused(`{"type_message":1,"agency":3,"payload":[${nested}]}`)[0],
      "INVALID_BET"
    )
    assert.deepInclude(read(`{"x":${nested},"type_message":1,"agency":3,"payload":[]}`), {
      _tag: "Chunk"
    })
  })
})
