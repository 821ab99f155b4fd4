/**
 * Input that means harm, kind by kind, each with the code that docs/PROTOCOL.md names for it: nothing of it is stored, an
 * agency that sells beside it doesn't notice, and memory stays where it was. test/fuzz mixes such things at random.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Central } from "../support/Central.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { sales } from "../support/Sales.ts"
import { frame, Wire, type WireAnswer } from "../support/Wire.ts"
import { Bystander } from "./Bystander.ts"
import { MemoryWatch } from "./Memory.ts"

/** A bystander is agency 1; everything here speaks for agency 2, of which nothing may be stored. */
const victim = 2
const finisher = 3
const mebibyte = 1024 * 1024
/** Two parsers that are given expensive messages, and what the server holds of these meanwhile. */
const memoryGrowthMax = 2 * 256 + 128

const good = "Ana,Lorca,30904465,1999-03-17,2201"
const chunk = (more: Readonly<Record<string, unknown>> = {}) =>
  JSON.stringify({ type_message: 1, agency: victim, payload: [good], ...more })

/** As many of them as fit into the longest frame. */
const fill = (before: string, each: string, after: string): string =>
  before + each.repeat(Math.floor((mebibyte - before.length - after.length) / each.length)) + after

const keys = (): string => {
  const parts: Array<string> = []
  for (let length = 0, key = 0; length < mebibyte - 100; key++) {
    const part = `"${key.toString(36)}":0,`
    parts.push(part)
    length += part.length
  }
  return `{${parts.join("")}"type_message":1}`
}

const bytes = (text: string, ...raw: ReadonlyArray<number>): Uint8Array => {
  const [before = "", after = ""] = text.split("?")
  const body = Buffer.concat([Buffer.from(before), Uint8Array.from(raw), Buffer.from(after)])
  const header = Buffer.alloc(4)
  header.writeUInt32BE(body.length)
  return Buffer.concat([header, body])
}

type Case = readonly [what: string, message: string | Uint8Array]

const named = `{"type_message":1,"agency":2,"payload":["?,Lorca,1,1999-03-17,1"]}`
const notUtf8: ReadonlyArray<Case> = [
  ["a byte that begins nothing", bytes(named, 0xff)],
  ["a continuation alone", bytes(named, 0x80)],
  ["a character in a longer form than it has", bytes(named, 0xc0, 0xaf)],
  ["half a character", bytes(named, 0xe2, 0x82)],
  ["a surrogate", bytes(named, 0xed, 0xa0, 0x80)],
  ["a character beyond the last", bytes(named, 0xf4, 0x90, 0x80, 0x80)],
  ["a byte order mark", bytes(`?${chunk()}`, 0xef, 0xbb, 0xbf)],
  ["zeros", bytes("?", 0, 0, 0, 0)]
]

const bombs: ReadonlyArray<Case> = [
  ["arrays a million deep", "[".repeat(mebibyte)],
  ["arrays half a million deep, closed", "[".repeat(mebibyte / 2) + "]".repeat(mebibyte / 2)],
  ["objects as deep as they get", `{"a":`.repeat(170_000)],
  ["empty objects by the hundred thousand", fill("{\"type_message\":1,\"x\":[", "{},", "{}]}")],
  ["empty arrays by the hundred thousand", fill("{\"type_message\":1,\"x\":[", "[],", "[]]}")],
  ["as many keys as fit", keys()],
  ["the same key again and again", fill("{", "\"a\":0,", "\"type_message\":1}")],
  ["a number of a million digits", fill("{\"type_message\":1,\"agency\":", "9", "}")],
  ["an exponent of a million digits", fill("{\"type_message\":1,\"agency\":1e", "9", "}")],
  ["nothing but white space", " ".repeat(mebibyte)],
  ["a string without an end", `"${"a".repeat(mebibyte - 1)}`]
]

const values = [
  "null",
  "true",
  "0",
  "-1",
  "1.5",
  "1e999",
  "9007199254740993",
  "\"\"",
  "\"x\"",
  "\"01\"",
  "\" 1\"",
  "\"1.0\"",
  "[]",
  "[1]",
  "{}",
  "{\"valueOf\":1}"
]
const wrongTypes: ReadonlyArray<Case> = [
  ...values.map((value): Case => [
    `type_message ${value}`,
    `{"type_message":${value},"agency":2,"payload":[]}`
  ]),
  ...values.map((value): Case => [
    `agency ${value}`,
    `{"type_message":1,"agency":${value},"payload":[]}`
  ]),
  ...["null", "true", "1", "\"\"", "\"x\"", "{}", "{\"length\":1}"].map((value): Case => [
    `payload ${value}`,
    `{"type_message":1,"agency":2,"payload":${value}}`
  ]),
  ...["null", "true", "0", "-1", "1.5", "\"1\"", "[]", "{}", "1e999"].map((value): Case => [
    `seq ${value}`,
    `{"type_message":1,"agency":2,"seq":${value},"payload":[]}`
  ]),
  ...["null", "1", "\"x\"", "true", "[]", "[{}]"].map((
    value
  ): Case => [`${value} at the root`, value]),
  ["keys of the prototype", `{"__proto__":{"type_message":1,"agency":2,"payload":[]}}`],
  ["a type from the prototype", `{"__proto__":{"type_message":1},"agency":2,"payload":[]}`],
  ["a constructor", `{"constructor":{"prototype":{"agency":2}},"type_message":1,"payload":[]}`]
]

const withFields = (fields: ReadonlyArray<string>) => JSON.stringify([...fields])
const badBets: ReadonlyArray<Case> = [
  ...["10000", "-1", "12345", "1e3", "1.5", "", " 7", "0x10", "７"].map((number): Case => [
    `number ${JSON.stringify(number)}`,
    withFields(["Ana", "Lorca", "1", "1999-03-17", number])
  ]),
  ...[
    "2001-02-29",
    "1900-02-29",
    "1999-00-10",
    "1999-13-01",
    "1999-04-31",
    "1999-03-00",
    "99-03-17",
    "1999-3-17",
    "1999/03/17",
    "17-03-1999",
    "1999-03-17T00:00",
    "0000-01-01",
    ""
  ].map((date): Case => [
    `birthdate ${JSON.stringify(date)}`,
    withFields(["Ana", "Lorca", "1", date, "7"])
  ]),
  ...["", "a b", "ñ", "123456789012345678901", "1;2"].map((document): Case => [
    `document ${JSON.stringify(document)}`,
    withFields(["Ana", "Lorca", document, "1999-03-17", "7"])
  ]),
  ...["", "a\tb", "a\nb", "\u0000", "\u0085", "\ud800", "x".repeat(101)].map((name): Case => [
    `name ${JSON.stringify(name).slice(0, 20)}`,
    withFields(["Ana", name, "1", "1999-03-17", "7"])
  ]),
  ...[
    "null",
    "1",
    "{}",
    "[]",
    "\"\"",
    "\"a,b,c,d\"",
    "\"a,b,1,1999-03-17,7,x\"",
    "[1,2,3,4,5]",
    "[\"a\",\"b\",\"1\",\"1999-03-17\",7]",
    "{\"0\":\"a\",\"length\":5}"
  ].map((item): Case => [`a bet ${item}`, item])
]

describe("hostile input", () => {
  let central: Central
  let bystander: Bystander
  let watch: MemoryWatch
  let memoryBefore = 0

  beforeAll(async () => {
    central = await Central.start({ agencies: 3, settings: { parsers: { processes: 2 } } })
    bystander = await Bystander.start(central, 1)
    watch = new MemoryWatch(() => [central.pid, ...central.children])
    memoryBefore = watch.look()
  })
  afterAll(async () => {
    watch[Symbol.dispose]()
    await bystander[Symbol.asyncDispose]()
    await central[Symbol.asyncDispose]()
  })

  const post = async (
    message: string | Uint8Array,
    port: number
  ): Promise<ReadonlyArray<WireAnswer>> => {
    using wire = await Wire.connect(port)
    wire.sendBytes(typeof message === "string" ? frame(message) : message)
    return await wire.closed(15_000)
  }

  /** Exactly that refusal, and the close: these clients send no valid `seq`. */
  const assertRefused = async (
    cases: ReadonlyArray<Case>,
    type: 3 | 6,
    code: string,
    port = central.betsPort
  ): Promise<void> => {
    for (const [what, message] of cases) {
      const answers = await post(message, port)
      assert.lengthOf(answers, 1, what)
      assert.include(answers[0], { type_message: type, code, payload: null }, what)
      assert.notInclude(JSON.stringify(answers), "Lorca", what)
    }
  }

  it("that isn't UTF-8 is INVALID_MESSAGE on both ports", async () => {
    await assertRefused(notUtf8, 3, "INVALID_MESSAGE")
    await assertRefused(notUtf8, 6, "INVALID_MESSAGE", central.consultPort)
  })

  it(
    "that explodes when it is parsed is INVALID_MESSAGE, and doesn't fit through the consult port",
    async () => {
      await assertRefused(bombs, 3, "INVALID_MESSAGE")
      await assertRefused(bombs, 6, "FRAME_TOO_LARGE", central.consultPort)
    },
    60_000
  )

  it("of the wrong types is INVALID_MESSAGE", async () => {
    await assertRefused(wrongTypes, 3, "INVALID_MESSAGE")
  })

  it("of lengths that no frame has is refused before its body", async () => {
    for (const port of [central.betsPort, central.consultPort]) {
      await assertRefused(
        [["4 GiB", Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x7b)]],
        6,
        "FRAME_TOO_LARGE",
        port
      )
      await assertRefused(
        [["a byte too many", Uint8Array.of(0, 0x10, 0, 1)]],
        6,
        "FRAME_TOO_LARGE",
        port
      )
      await assertRefused([["nothing", Uint8Array.of(0, 0, 0, 0, 0x7b)]], 6, "FRAME_EMPTY", port)
    }
  })

  it("in a bet is INVALID_BET with its place, whatever is wrong with it", async () => {
    for (const [what, item] of badBets) {
      const message = `{"type_message":1,"agency":2,"payload":["${good}",${item},${item}]}`
      const [answer, ...more] = await post(message, central.betsPort)
      assert.deepStrictEqual(more, [])
      assert.include(answer, { type_message: 3, code: "INVALID_BET", index: 1 }, what)
    }
  })

  it("for the other port is WRONG_PORT, and for no agency of the roster UNKNOWN_AGENCY", async () => {
    await assertRefused(
      [["a consult", `{"type_message":3,"agency":2,"payload":null}`]],
      6,
      "WRONG_PORT"
    )
    const messages: ReadonlyArray<Case> = [["bets", chunk()], [
      "RESUME",
      `{"type_message":4,"agency":2}`
    ]]
    await assertRefused(messages, 6, "WRONG_PORT", central.consultPort)
    const strangers = [4, 99, "12345678901", 2 ** 52].map((
      agency
    ): Case => [`agency ${agency}`, chunk({ agency })])
    await assertRefused(strangers, 3, "UNKNOWN_AGENCY")
  })

  it("that says a key twice means the last one, wherever it is", async () => {
    const texts: ReadonlyArray<readonly [string, number | undefined, string | undefined]> = [
      [`{"type_message":3,"type_message":1,"agency":2,"payload":[]}`, 1, undefined],
      [`{"type_message":1,"agency":99,"agency":2,"payload":[]}`, 1, undefined],
      [`{"type_message":1,"agency":2,"agency":99,"payload":[]}`, 3, "UNKNOWN_AGENCY"],
      [`{"type_message":1,"agency":2,"payload":["nonsense"],"payload":[]}`, 1, undefined],
      [`{"type_message":1,"agency":2,"payload":[],"payload":["nonsense"]}`, 3, "INVALID_BET"],
      [`{"type_message":1,"agency":2,"seq":1,"seq":9,"payload":[]}`, 3, "SEQUENCE_GAP"],
      [`{"type_message":1,"type_message":3,"agency":2,"payload":[]}`, 6, "WRONG_PORT"],
      [`{"type_message":1,"\\u0074ype_message":3,"agency":2,"payload":[]}`, 6, "WRONG_PORT"]
    ]
    for (const [text, type, code] of texts) {
      using wire = await Wire.connect(central.betsPort)
      const answer = await wire.ask(text)
      assert.deepStrictEqual([answer.type_message, answer["code"]], [type, code], text)
    }
    using asking = await Wire.connect(central.consultPort)
    const twice =
      `{"type_message":1,"type_message":3,"agency":99,"agency":2,"wait":true,"wait":false}`
    assert.strictEqual((await asking.ask(twice)).type_message, 5)
  })

  it("with keys of every object's prototype takes nothing from it", async () => {
    using wire = await Wire.connect(central.betsPort)
    const text =
      `{"type_message":1,"agency":2,"payload":[],"__proto__":{"seq":7},"toString":1,"hasOwnProperty":[]}`
    assert.deepStrictEqual(await wire.ask(text), { type_message: 1, payload: null })
  })

  it("in another agency's name, or after the last chunk, is refused and changes nothing", async () => {
    using wire = await Wire.connect(central.betsPort)
    const bets = sales(finisher, 3)
    const send = (seq: number, more: Readonly<Record<string, unknown>> = {}) =>
      wire.ask({ type_message: 1, agency: finisher, seq, payload: bets, ...more })
    assert.strictEqual((await send(1)).type_message, 1)
    assert.strictEqual((await send(2, { agency: victim }))["code"], "AGENCY_MISMATCH")
    assert.strictEqual((await send(2, { type_message: 2, payload: [] })).type_message, 1)
    for (
      const [seq, type, code] of [[3, 1, "AGENCY_FINISHED"], [1, 2, "SEQUENCE_CONFLICT"]] as const
    ) {
      using again = await Wire.connect(central.betsPort)
      const message = { type_message: type, agency: finisher, seq, payload: bets }
      assert.strictEqual((await again.ask(message))["code"], code)
    }
    using replaying = await Wire.connect(central.betsPort)
    const replay = { type_message: 1, agency: finisher, seq: 1, payload: bets }
    assert.include(await replaying.ask(replay), { type_message: 1, duplicate: true })
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(finisher), bets)
  })

  it("left nothing behind: no bet stored, no agency held up, memory where it was", async () => {
    const { slowestMs } = await bystander.ended()
    assert.isBelow(slowestMs, 5000)
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(victim), [])
    assert.isBelow(watch.peak - memoryBefore, memoryGrowthMax)
    assert.notInclude(central.log, "Lorca")
    assert.strictEqual((await central.stop()).code, 0)
  })
})
