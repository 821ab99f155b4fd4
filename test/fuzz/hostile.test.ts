/**
 * Hostile input by name: what an attacker or a broken client would send, each with the answer that docs/PROTOCOL.md names,
 * with and without `seq`. What refusals.test.ts has isn't here. A bystander sells all the while, and memory stays flat.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Bystander } from "../faults/Bystander.ts"
import { memoryOf } from "../faults/Memory.ts"
import { Central } from "../support/Central.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { sale } from "../support/Sales.ts"
import { frame, Wire, type WireAnswer } from "../support/Wire.ts"

const mebibyte = 1024 * 1024
const consultFrameBytesMax = 128 * 1024
/** MiB by which the memory of the server and its parsers may grow during the attack. */
const growthMax = 250

type Code = "INVALID_MESSAGE" | "INVALID_BET" | "UNKNOWN_AGENCY"

const good = "\"Ana,Lorca,30904465,1999-03-17,2201\""

/** The whole message as JSON text; `members` come behind `seq`, and win over what is before them. */
const message = (seq: number | undefined, members: string): string =>
  `{"type_message":1,"agency":1${seq === undefined ? "" : `,"seq":${seq}`}${members}}`

/** Members (before the closing brace) that make it no message, whatever else it is. */
const noMessages: ReadonlyArray<readonly [string, string]> = [
  ["without a payload", ""],
  ["with the payload null", ",\"payload\":null"],
  ["with a payload that is an object", ",\"payload\":{\"0\":\"a\",\"length\":1}"],
  ["with a payload that is text", ",\"payload\":\"a,b,12,1999-03-17,1\""],
  ["with a payload that is a number", ",\"payload\":1"],
  ["with the payload only in __proto__", ",\"__proto__\":{\"payload\":[]}"],
  ["with a bad payload behind a good one", ",\"payload\":[],\"payload\":7"],
  ["with a type out of range", ",\"payload\":[],\"type_message\":1e400"],
  ["with a type that is no integer", ",\"payload\":[],\"type_message\":1.5"],
  ["with a type that is true", ",\"payload\":[],\"type_message\":true"],
  ["with a type in an array", ",\"payload\":[],\"type_message\":[1]"],
  ["with a type 01 as text", ",\"payload\":[],\"type_message\":\"01\""],
  ["with a type that is text and more", ",\"payload\":[],\"type_message\":\"1 \""],
  ["with a type named constructor", ",\"payload\":[],\"type_message\":\"constructor\""],
  ["with a negative agency", ",\"payload\":[],\"agency\":-1"],
  ["with half an agency", ",\"payload\":[],\"agency\":0.5"],
  ["with an agency that is no safe integer", ",\"payload\":[],\"agency\":9007199254740993"],
  ["with an agency of a million digits", `,"payload":[],"agency":${"9".repeat(1_000_000)}`],
  ["with an agency of full-width digits", ",\"payload\":[],\"agency\":\"１\""],
  ["with the agency null", ",\"payload\":[],\"agency\":null"],
  ["with an agency in an object", ",\"payload\":[],\"agency\":{\"valueOf\":1}"]
]

/** Bodies that are no JSON object at all: `seq` can't be told from them. */
const noObjects: ReadonlyArray<readonly [string, Uint8Array]> = [
  ["1 MiB of opening brackets", Buffer.alloc(mebibyte, "[")],
  ["1 MiB of nested arrays", Buffer.from("[".repeat(mebibyte / 2) + "]".repeat(mebibyte / 2))],
  ["1 MiB of nested objects without an end", Buffer.from("{\"a\":".repeat(mebibyte / 5))],
  ["1 MiB of spaces", Buffer.alloc(mebibyte, " ")],
  ["1 MiB of zeros", Buffer.alloc(mebibyte)],
  ["1 MiB of quotation marks", Buffer.alloc(mebibyte, "\"")],
  ["a text that never ends", Buffer.concat([Buffer.from("{\"a\":\""), Buffer.alloc(1000, "a")])],
  ["a number of 1 MiB", Buffer.alloc(mebibyte, "9")],
  ["a byte order mark before the object", Buffer.from("\ufeff{\"type_message\":1}")],
  ["two objects", Buffer.from(`${message(1, ",\"payload\":[]")}{}`)],
  ["a comma too many", Buffer.from(message(1, ",\"payload\":[],"))],
  ["a comment", Buffer.from(message(1, ",\"payload\":[]/**/"))],
  ["NaN", Buffer.from(message(1, ",\"payload\":[],\"x\":NaN"))],
  [
    "a raw control character in a text",
    Buffer.from(message(1, ",\"payload\":[],\"x\":\"\u0001\""))
  ],
  ["an escape that isn't one", Buffer.from(message(1, ",\"payload\":[\"\\x41\"]"))],
  ...[
    ["an overlong slash", [0xc0, 0xaf]],
    ["an overlong zero byte", [0xe0, 0x80, 0x80]],
    ["a surrogate", [0xed, 0xa0, 0xbd]],
    ["a code point above the last", [0xf4, 0x90, 0x80, 0x80]],
    ["a character's first byte alone", [0xe2, 0x82]],
    ["a continuation alone", [0x80]],
    ["a byte of Latin-1", [0xf1]],
    ["UTF-16", [0xff, 0xfe, 0x7b, 0]]
  ].map(([name, bytes]): readonly [string, Uint8Array] => [
    `${String(name)} for UTF-8`,
    Buffer.concat([
      Buffer.from(message(1, ",\"payload\":[\"")),
      Uint8Array.from(Array.isArray(bytes) ? bytes : []),
      Buffer.from(",b,12,1999-03-17,1\"]}")
    ])
  ])
]

const text = (first: string, last = "b", document = "12", date = "1999-03-17", number = "1") =>
  `"${[first, last, document, date, number].join(",")}"`

/** Items that are no bets. */
const noBets: ReadonlyArray<readonly [string, string]> = [
  ["null", "null"],
  ["a number", "7"],
  ["true", "true"],
  [
    "an object",
    "{\"0\":\"a\",\"1\":\"b\",\"2\":\"1\",\"3\":\"1999-03-17\",\"4\":\"1\",\"length\":5}"
  ],
  ["an empty text", "\"\""],
  ["an empty array", "[]"],
  ["five commas", "\"a,b,c,12,1999-03-17,1\""],
  ["three commas", "\"a,b,12,1999-03-17\""],
  ["a million commas", `"${",".repeat(1_000_000)}"`],
  ["six texts", "[\"a\",\"b\",\"12\",\"1999-03-17\",\"1\",\"\"]"],
  ["a number among the five", "[\"a\",\"b\",\"12\",\"1999-03-17\",1]"],
  ["null among the five", "[null,\"b\",\"12\",\"1999-03-17\",\"1\"]"],
  ["an array among the five", "[\"a\",[\"b\"],\"12\",\"1999-03-17\",\"1\"]"],
  ["a nesting of 100,000", `${"[".repeat(100_000)}${"]".repeat(100_000)}`],
  ["a name of no characters", text("")],
  ["a name of 101 characters", text("a".repeat(101))],
  ["a name of 101 characters of four bytes", text("\u{1f3b2}".repeat(101))],
  ["a last name of a million characters", text("a", "b".repeat(1_000_000))],
  ["a name with a zero character", text("a\\u0000")],
  ["a name with the ledger's separator", text("a\\tb")],
  ["a name with the ledger's line feed", text("a\\nb")],
  ["a name with DEL", text("a\u007f")],
  ["a name with NEL, escaped", text("a\\u0085")],
  ["a name with NEL, raw", text("a\u0085")],
  ["a high surrogate alone", text("a\\ud83c")],
  ["a low surrogate alone", text("a\\udfb2")],
  ["surrogates in the wrong order", text("\\udfb2\\ud83c")],
  ["a document of 21 characters", text("a", "b", "1".repeat(21))],
  ["a document of no characters", text("a", "b", "")],
  ["a document with a sign", text("a", "b", "-12")],
  ["a document in full-width digits", text("a", "b", "１２")],
  ["February 29 of a year without", text("a", "b", "1", "2001-02-29")],
  ["February 29 of 1900", text("a", "b", "1", "1900-02-29")],
  ["April 31", text("a", "b", "1", "1999-04-31")],
  ["month 13", text("a", "b", "1", "1999-13-01")],
  ["month 0", text("a", "b", "1", "1999-00-01")],
  ["day 0", text("a", "b", "1", "1999-01-00")],
  ["the year 0", text("a", "b", "1", "0000-01-01")],
  ["a year of five digits", text("a", "b", "1", "10000-01-01")],
  ["a date without zeros", text("a", "b", "1", "1999-3-7")],
  ["a date with a time", text("a", "b", "1", "1999-03-17T00:00")],
  ["a date the other way around", text("a", "b", "1", "17-03-1999")],
  ["the number 10000", text("a", "b", "1", "1999-03-17", "10000")],
  ["the number -1", text("a", "b", "1", "1999-03-17", "-1")],
  ["the number 1e3", text("a", "b", "1", "1999-03-17", "1e3")],
  ["the number 0x1f", text("a", "b", "1", "1999-03-17", "0x1f")],
  ["the number 00001", text("a", "b", "1", "1999-03-17", "00001")],
  ["a number with a space", text("a", "b", "1", "1999-03-17", " 1")],
  ["no number", text("a", "b", "1", "1999-03-17", "")]
]

/** Members that are strange and allowed: nobody knows the keys, or the last of two wins. */
const strangers: ReadonlyArray<readonly [string, string]> = [
  ["the payload twice", ",\"payload\":null,\"payload\":[]"],
  ["the type twice", ",\"type_message\":9,\"type_message\":\"1\",\"payload\":[]"],
  ["the agency twice", ",\"agency\":9,\"payload\":[],\"agency\":\"1\""],
  ["__proto__ with another seq", ",\"payload\":[],\"__proto__\":{\"seq\":99,\"agency\":2}"],
  ["constructor.prototype", ",\"payload\":[],\"constructor\":{\"prototype\":{\"agency\":2}}"],
  ["numbers as good as integers", ",\"type_message\":1.0,\"agency\":1e0,\"payload\":[]"],
  ["a key in escapes", ",\"\\u0070ayload\":[]"],
  ["a million digits in an unknown key", `,"payload":[],"x":${"9".repeat(1_000_000)}`],
  [
    "100,000 unknown keys",
    `,"payload":[]${Array.from({ length: 100_000 }, (_, key) => `,"${key}":0`).join("")}`
  ],
  [
    "500 kB of depth in an unknown key",
    `,"payload":[],"x":${"[".repeat(250_000)}${"]".repeat(250_000)}`
  ],
  ["1 MB of spaces", `,"payload":[]${" ".repeat(1_000_000)}`]
]

describe("hostile input", () => {
  let central: Central
  let bystander: Bystander
  let memoryAtStart = 0
  /** The next number of agency 1. */
  let seq = 1

  beforeAll(async () => {
    central = await Central.start({
      agencies: 3,
      settings: { connections: { frameDeadlineMs: 10_000 }, parsers: { processes: 1 } }
    })
    bystander = await Bystander.start(central, 3)
    memoryAtStart = memoryOf([central.pid, ...central.children])
  })
  afterAll(async () => {
    await bystander[Symbol.asyncDispose]()
    await central[Symbol.asyncDispose]()
  })

  const assertRefusal = (answer: WireAnswer, type: 3 | 6, code: string) => {
    assert.strictEqual(answer.type_message, type)
    assert.strictEqual(answer["code"], code)
    assert.strictEqual(answer["payload"], null)
  }

  /** Refused and closed; nothing else is said. */
  const assertClosed = async (wire: Wire, type: 3 | 6, code: string): Promise<WireAnswer> => {
    const [answer, ...others] = await wire.closed()
    assert.deepStrictEqual(others, [])
    if (answer === undefined) throw new Error("closed without an answer")
    assertRefusal(answer, type, code)
    return answer
  }

  /** With `seq` the connection stays open, and the number is still free; without, it is closed. */
  const assertRefusedBothWays = async (members: string, code: Code, index?: number) => {
    using counting = await Wire.connect(central.betsPort)
    const refusal = await counting.ask(message(seq, members))
    assertRefusal(refusal, 3, code)
    assert.strictEqual(refusal["seq"], seq)
    assert.strictEqual(refusal["index"], index)
    const next = await counting.ask({ type_message: 1, agency: 1, seq, payload: [] })
    assert.deepStrictEqual(next, { type_message: 1, payload: null, seq })
    seq++
    using field = await Wire.connect(central.betsPort)
    field.send(message(undefined, members))
    const answer = await assertClosed(field, 3, code)
    assert.strictEqual(answer["index"], index)
  }

  describe("in a frame's length", () => {
    it.each(["betsPort", "consultPort"] as const)(
      "4 GiB is FRAME_TOO_LARGE before its body on %s, and one above the limit too",
      async (port) => {
        for (const length of [[255, 255, 255, 255], [128, 0, 0, 0], [0, 64, 0, 1]]) {
          using wire = await Wire.connect(central[port])
          wire.sendBytes(length)
          await assertClosed(wire, 6, "FRAME_TOO_LARGE")
        }
      }
    )

    it("0 is FRAME_EMPTY behind a whole frame too, whose answer comes first", async () => {
      using wire = await Wire.connect(central.betsPort)
      wire.sendBytes([...frame({ type_message: 4, agency: 2 }), 0, 0, 0, 0])
      assert.strictEqual((await wire.answer()).type_message, 4)
      await assertClosed(wire, 6, "FRAME_EMPTY")
    })

    it("40 frames of 1 MiB announced and never sent take no memory worth the name", async () => {
      // Their room (connections.frameBudgetBytes) is theirs until the deadline: 64 of them would have all of it.
      const before = memoryOf([central.pid])
      const wires = await Promise.all(
        Array.from({ length: 40 }, () => Wire.connect(central.betsPort))
      )
      for (const wire of wires) wire.sendBytes([0, 16, 0, 0, 0x7b])
      await bystander.progress(3)
      assert.isBelow(memoryOf([central.pid]) - before, 20)
      for (const wire of wires) wire.vanish()
      await bystander.progress(3)
    })
  })

  it.each(noObjects)(
    "%s is INVALID_MESSAGE on both ports, or too large for the consult port",
    async (_, body) => {
      const framed = Buffer.concat([Buffer.alloc(4), body])
      framed.writeUInt32BE(body.length)
      using seller = await Wire.connect(central.betsPort)
      seller.sendBytes(framed)
      await assertClosed(seller, 3, "INVALID_MESSAGE")
      using asker = await Wire.connect(central.consultPort)
      asker.sendBytes(framed)
      const tooLarge = body.length > consultFrameBytesMax
      await assertClosed(asker, 6, tooLarge ? "FRAME_TOO_LARGE" : "INVALID_MESSAGE")
    }
  )

  it.each(noMessages)("a chunk %s is INVALID_MESSAGE", async (_, members) => {
    await assertRefusedBothWays(members, "INVALID_MESSAGE")
  })

  it.each(["0", "-1", "1.5", "\"1\"", "null", "true", "[1]", "1e400", "9007199254740992"])(
    "seq %s is INVALID_MESSAGE and closed: it can't be named in an answer",
    async (bad) => {
      using wire = await Wire.connect(central.betsPort)
      wire.send(`{"type_message":1,"agency":1,"payload":[],"seq":${bad}}`)
      assert.notProperty(await assertClosed(wire, 3, "INVALID_MESSAGE"), "seq")
    }
  )

  it.each(noBets)("%s for a bet is INVALID_BET", async (_, item) => {
    await assertRefusedBothWays(`,"payload":[${good},${item},null]`, "INVALID_BET", 1)
  })

  it("an agency out of range is UNKNOWN_AGENCY, whatever its bets are", async () => {
    await assertRefusedBothWays(",\"payload\":[null],\"agency\":9007199254740991", "UNKNOWN_AGENCY")
  })

  it("another agency's id is AGENCY_MISMATCH, and a counting connection goes on", async () => {
    using wire = await Wire.connect(central.betsPort)
    await wire.ask({ type_message: 4, agency: 2 })
    for (const agency of [3, "3", 99]) {
      assertRefusal(
        await wire.ask({ type_message: 1, agency, seq: 1, payload: [sale(3, 0)] }),
        3,
        "AGENCY_MISMATCH"
      )
    }
    assert.strictEqual((await wire.ask({ type_message: 4, agency: 2 })).type_message, 4)
  })

  it.each(strangers)("%s in a chunk is allowed", async (_, members) => {
    using wire = await Wire.connect(central.betsPort)
    const answer = await wire.ask(message(seq, members))
    assert.deepStrictEqual(answer, { type_message: 1, payload: null, seq })
    seq++
  })

  it("of a bet's array twice, the last is stored", async () => {
    using wire = await Wire.connect(central.betsPort)
    const members = `,"payload":["x,y,1,1999-03-17,1"],"payload":[${good}]`
    assert.strictEqual((await wire.ask(message(seq, members))).type_message, 1)
    seq++
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(1), [JSON.parse(good)])
  })

  it("bets after the last chunk are AGENCY_FINISHED in both dialects, and change nothing", async () => {
    using wire = await Wire.connect(central.betsPort)
    await wire.ask({ type_message: 2, agency: 2, seq: 1, payload: [sale(2, 0)] })
    using counting = await Wire.connect(central.betsPort)
    for (const type of [1, 2]) {
      assertRefusal(
        await counting.ask({ type_message: type, agency: 2, seq: 2, payload: [sale(2, 1)] }),
        3,
        "AGENCY_FINISHED"
      )
    }
    using field = await Wire.connect(central.betsPort)
    field.send({ type_message: 1, agency: "2", payload: [sale(2, 1)] })
    await assertClosed(field, 3, "AGENCY_FINISHED")
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(2), [sale(2, 0)])
  })

  it("has harmed nobody: the bystander was served, no process was replaced, memory is flat", async () => {
    await bystander.progress(5)
    const growth = memoryOf([central.pid, ...central.children]) - memoryAtStart
    assert.isBelow(growth, growthMax, `MiB more than ${Math.round(memoryAtStart)}`)
    const { chunks } = await bystander.ended()
    assert.isAbove(chunks, 20)
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(1), [JSON.parse(good)], "of agency 1")
    assert.deepStrictEqual(ledger.seqs(1), Array.from({ length: seq - 1 }, (_, at) => at + 1))
    assert.notMatch(central.log, / (ERROR|CRITICAL) |parser_replaced/)
    assert.strictEqual(central.errors, "")
    assert.strictEqual((await central.stop()).code, 0)
  })
})
