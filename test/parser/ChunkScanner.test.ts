import { assert, describe, it } from "@effect/vitest"
import { Option, Schema } from "effect"
import { BetFields, fieldsOfBet, PayloadItem } from "../../src/domain/Bet.ts"
import { recordOf } from "../../src/domain/BetRecord.ts"
import type { Parsed } from "../../src/domain/Chunk.ts"
import { Request, Seq } from "../../src/domain/Message.ts"
import { readMessage } from "../../src/parser/ChunkReader.ts"
import { parseMessage, scanChunk } from "../../src/parser/ChunkScanner.ts"
import { generateBets } from "../../src/services/trial/Generate.ts"

const utf8 = new TextEncoder()
/** A first name may begin with what is a byte order mark elsewhere: it is part of the name. */
const utf8Decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** With bytes as plain arrays, copied: what the scanner gives lasts until its next scan. */
const plain = (parsed: Parsed | undefined) =>
  parsed?._tag === "Chunk"
    ? { ...parsed, numbers: [...parsed.numbers], body: utf8Decoder.decode(parsed.body) }
    : parsed

// ---- the reference: JSON.parse, then Schema, and nothing of the parser

const isConsult = Schema.is(Schema.Struct({ type_message: Schema.Literals([3, "3"]) }))
const decodeRequest = Schema.decodeUnknownOption(Request)
const decodeItem = Schema.decodeUnknownOption(PayloadItem)
const hasPayload = Schema.is(Schema.Struct({ payload: Schema.Array(Schema.Unknown) }))

const jsonOf = (body: Uint8Array): unknown => {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body))
  } catch {
    return undefined
  }
}

/** What a message must come to, without the refusals' texts. */
const reference = (body: Uint8Array): unknown => {
  const json = jsonOf(body)
  if (isConsult(json)) return { _tag: "WrongPort" }
  const decoded = decodeRequest(json)
  if (Option.isSome(decoded)) {
    const request = decoded.value
    if (request._tag === "Resume") return { _tag: "Resume", agency: request.agency }
    if (request._tag === "ConsultWinners") return { _tag: "WrongPort" }
    return {
      _tag: "Chunk",
      agency: request.agency,
      seq: request.seq,
      last: request._tag === "SendLastChunk",
      bets: request.bets.length,
      numbers: request.bets.flatMap(({ number }) => [Number(number) >> 8, Number(number) % 256]),
      body: request.bets.map((bet) => recordOf(fieldsOfBet(bet))).join("")
    }
  }
  if (hasPayload(json) && Option.isSome(decodeRequest({ ...json, payload: [] }))) {
    const index = json.payload.findIndex((item) => Option.isNone(decodeItem(item)))
    return { _tag: "Refused", code: "INVALID_BET", index }
  }
  return { _tag: "Refused", code: "INVALID_MESSAGE", index: undefined }
}

const assertAgrees = (body: Uint8Array): void => {
  const read = plain(readMessage(body))
  assert.deepStrictEqual(plain(parseMessage(body)), read)
  const expected = reference(body)
  assert.deepStrictEqual<unknown>(
    read?._tag === "Refused"
      ? { _tag: read._tag, code: read.code, index: read.index }
      : read?._tag === "WrongPort"
      ? { _tag: read._tag }
      : read,
    expected
  )
}

// ---- messages in every dialect

const Style = Schema.Struct({
  type: Schema.Literals([1, 2]),
  agency: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 999_999_999_999_999 })),
  seq: Schema.optionalKey(Seq.check(Schema.isLessThan(1_000_000_000_000_000))),
  bets: Schema.Array(BetFields).check(Schema.isMaxLength(5)),
  texts: Schema.Boolean,
  escaped: Schema.Boolean,
  shuffle: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 23 })),
  space: Schema.Literals(["", " ", "\n", "\t \r\n"])
})
type Style = typeof Style.Type

const escapeAll = (json: string): string =>
  json.replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
  )

const itemOf = (bet: BetFields, space: string): string => {
  const fields = fieldsOfBet(bet)
  return fields.slice(0, 2).some((name) => name.includes(","))
    ? `[${fields.map((field) => JSON.stringify(field)).join(`${space},${space}`)}${space}]`
    : JSON.stringify(fields.join(","))
}

const messageOf = (style: Style): string => {
  const { agency, bets, escaped, seq, shuffle, space, texts, type } = style
  const items = bets.map((bet) => itemOf(bet, space)).join(`${space},${space}`)
  const members = [
    `"type_message"${space}:${space}${texts ? `"${type}"` : type}`,
    `"agency"${space}:${space}${texts ? `"${agency}"` : agency}`,
    `"payload"${space}:${space}[${space}${items}${space}]`,
    ...(seq === undefined ? [] : [`"seq"${space}:${space}${seq}`])
  ]
  const order: Array<string> = []
  for (let left = shuffle; members.length > 0; left = Math.floor(left / 4)) {
    order.push(...members.splice(left % members.length, 1))
  }
  const json = `${space}{${space}${order.join(`${space},${space}`)}${space}}${space}`
  return escaped ? escapeAll(json) : json
}

const Mutation = Schema.Struct({
  kind: Schema.Literals(["flip", "delete", "insert", "double", "replace"]),
  at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 99_999 })),
  bit: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 7 })),
  length: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 12 })),
  text: Schema.Literals([
    "\"",
    "\\",
    ",",
    ":",
    "[",
    "]",
    "{",
    "}",
    "[]",
    "0",
    "1",
    "-",
    ".",
    "e1",
    " ",
    "\n",
    "\0",
    "null",
    "true",
    "\\u00e1",
    "\\u002c",
    "\\u0041",
    "\\u0085",
    "\\ud83d",
    "\\ud83d\\ude00",
    "\\n",
    "\\\"",
    "\\/",
    "á",
    "\u0080",
    "\ufeff",
    "😀",
    "\"seq\":1,",
    "\"seq\":null,",
    "\"agency\":7,",
    "\"extra\":[{\"a\":1}],",
    "\"__proto__\":{},",
    "\"a,b,1,1999-01-01,2\",",
    "[\"a\",\"b\",\"1\",\"1999-01-01\",\"2\"],",
    "1,"
  ])
})
type Mutation = typeof Mutation.Type

const mutate = (bytes: Uint8Array, mutation: Mutation): Uint8Array => {
  const { at, bit, kind, length, text } = mutation
  const where = at % (bytes.length + 1)
  const before = bytes.subarray(0, where)
  const after = bytes.subarray(where)
  switch (kind) {
    case "flip":
      return bytes.map((byte, index) => index === where ? byte ^ 1 << bit : byte)
    case "delete":
      return Buffer.concat([before, after.subarray(length)])
    case "insert":
      return Buffer.concat([before, utf8.encode(text), after])
    case "double":
      return Buffer.concat([before, after.subarray(0, length), after])
    case "replace":
      return Buffer.concat([before, utf8.encode(text), after.subarray(length)])
  }
}

const wrap = (name: Uint8Array | string): Uint8Array =>
  Buffer.concat([
    utf8.encode("{\"type_message\":1,\"agency\":3,\"payload\":[\""),
    typeof name === "string" ? utf8.encode(name) : name,
    utf8.encode(",Paz,30904465,1999-03-17,2201\"]}")
  ])

/** Both paths, without the slow Schema reference: for exhaustive lists. */
const assertPathsAgree = (body: Uint8Array): void => {
  const scanned = plain(scanChunk(body))
  if (scanned !== undefined) assert.deepStrictEqual(scanned, plain(readMessage(body)))
}

describe("the parser's fast path", () => {
  it.prop("takes valid chunks in every dialect and agrees with JSON.parse and Schema", [Style], (
    [style]
  ) => {
    const message = messageOf(style)
    const body = utf8.encode(message)
    // Astral characters escaped are surrogates: the slow path's.
    if (!/\\ud[89a-f]/.test(message)) assert.isDefined(scanChunk(body), message)
    assertAgrees(body)
  }, { arbitrary: { runs: 600 } })

  it("takes what agencies usually sell: no name in it is left to the slow path", () => {
    const bets = [...generateBets(42, 1, 5000)]
    const texts = bets.map((fields) =>
      fields.some((field) => field.includes(",")) ? fields : fields.join(",")
    )
    const message = JSON.stringify({ type_message: 1, agency: 1, payload: texts })
    for (const wire of [message, escapeAll(message)]) {
      assert.isDefined(scanChunk(utf8.encode(wire)))
      assertPathsAgree(utf8.encode(wire))
    }
  })

  it.prop("agrees with the slow path and with Schema on mutated chunks", [
    Style,
    Schema.Array(Mutation).check(Schema.isMinLength(1), Schema.isMaxLength(3))
  ], ([style, mutations]) => {
    assertAgrees(mutations.reduce(mutate, utf8.encode(messageOf(style))))
  }, { arbitrary: { runs: 3000 } })

  it("agrees on messages with any piece cut out, or there twice", () => {
    const messages = [
      "{\"type_message\":1,\"agency\":\"52\",\"seq\":1,\"payload\":[\"A,B,1,1999-03-17,7\"]}",
      "{ \"payload\" : [] , \"seq\" : 1 , \"agency\" : 5 , \"type_message\" : \"2\" }"
    ]
    for (const message of messages) {
      for (let from = 0; from < message.length; from++) {
        for (let to = from + 1; to <= message.length; to++) {
          assertPathsAgree(utf8.encode(message.slice(0, from) + message.slice(to)))
          assertPathsAgree(utf8.encode(message.slice(0, to) + message.slice(from)))
        }
      }
    }
  })

  it.prop("agrees on bytes of any kind", [Schema.Uint8Array], ([bytes]) => {
    assertAgrees(bytes)
    assertPathsAgree(wrap(bytes))
  }, { arbitrary: { runs: 1000 } })

  it("agrees on every pair of bytes in a name", () => {
    for (let pair = 0; pair < 0x10000; pair++) {
      assertPathsAgree(wrap(Uint8Array.of(pair >> 8, pair & 0xff)))
    }
  })

  it("takes exactly the well-formed sequences of three and four bytes", () => {
    const edges = [0x00, 0x22, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff]
    const isUtf8 = new TextDecoder("utf-8", { fatal: true })
    for (let first = 0xe0; first <= 0xff; first++) {
      for (const second of edges) {
        for (const third of edges) {
          for (const fourth of [...edges, undefined]) {
            const bytes = [first, second, third, ...(fourth === undefined ? [] : [fourth])]
            const body = wrap(Uint8Array.from(bytes))
            assertPathsAgree(body)
            if (!bytes.every((byte) => byte >= 0x80)) continue
            let wellFormed = true
            try {
              isUtf8.decode(Uint8Array.from(bytes))
            } catch {
              wellFormed = false
            }
            assert.strictEqual(scanChunk(body) !== undefined, wellFormed, bytes.join())
          }
        }
      }
    }
  })

  it("agrees on every \\u escape in a name, in either case", () => {
    for (let code = 0; code < 0x10000; code++) {
      const digits = code.toString(16).padStart(4, "0")
      assertPathsAgree(wrap(`a\\u${code % 2 === 0 ? digits : digits.toUpperCase()}`))
    }
    assert.isDefined(scanChunk(wrap("\\u00e1\\u00E1\\u20ac")))
    for (const unusual of ["\\u002c", "\\u0009", "\\u0085", "\\ud83d", "\\u00g1", "\\u00", "\\n"]) {
      assert.isUndefined(scanChunk(wrap(unusual)), unusual)
    }
  })

  it("agrees on chunks from which tokens were taken, to which they were added, or in which they changed places", () => {
    const keys = ["\"type_message\"", "\"agency\"", "\"seq\"", "\"payload\""]
    const values = ["1", "\"2\"", "\"a,b,1,2000-01-01,7\"", "[", "]", "{", "}", ":", ",", "null"]
    const [type, agency, seq, payload] = keys
    for (
      const text of [
        `{ ${type} : 1 , ${agency} : 3 , ${seq} : 7 , ${payload} : [ "a,b,1,2000-01-01,7" , "c,d,2,2000-01-01,8" ] }`,
        `{ ${payload} : [ ] , ${seq} : 7 , ${agency} : "3" , ${type} : "2" }`
      ]
    ) {
      const tokens = text.split(" ")
      const assertTokens = (changed: ReadonlyArray<string>) =>
        assertAgrees(utf8.encode(changed.join("")))
      for (let from = 0; from < tokens.length; from++) {
        for (let to = from; to <= tokens.length; to++) {
          assertTokens(tokens.toSpliced(from, to - from))
        }
        for (let other = 0; other < tokens.length; other++) {
          assertTokens(tokens.with(from, tokens[other] ?? "").with(other, tokens[from] ?? ""))
        }
        for (const token of [...keys, ...values]) {
          assertTokens(tokens.toSpliced(from, 0, token))
          assertTokens(tokens.with(from, token))
        }
      }
    }
  })

  it("gives up on what is unusual or breaks a rule, and the slow path decides", () => {
    const bet = "\"Ana,Paz,30904465,1999-03-17,2201\""
    const usual = ["\"type_message\":1", "\"agency\":3", "\"seq\":2", `"payload":[${bet}]`]
    assert.isDefined(scanChunk(utf8.encode(`{${usual.join()}}`)))
    const messages = [
      ...usual.map((member) => `{${[...usual, member].join()}}`),
      ...[0, 1, 3].map((missing) => `{${usual.toSpliced(missing, 1).join()}}`),
      ...[
        "\"x\":1",
        "\"seq\":\"2\"",
        "\"seq\":2.0",
        "\"seq\":2e0",
        "\"seq\":0",
        "\"seq\":02",
        "\"seq\":null"
      ]
        .map((member) => `{${usual.with(2, member).join()}}`),
      ...["3", "4", "\"3\"", "1.0", "\"1", "\"\"", "01", "-1", "null"]
        .map((type) => `{${usual.with(0, `"type_message":${type}`).join()}}`),
      ...["1000000000000000", "\"9007199254740991\"", "\"03\"", "0", "[3]"]
        .map((agency) => `{${usual.with(1, `"agency":${agency}`).join()}}`),
      ...[
        "\"Ana,Paz,30904465,1999-03-17,22010\"",
        "\"Ana,Paz,30904465,1999-03-17,\"",
        "\"Ana,Paz,30904465,1999-03-17,2201,\"",
        "\"Ana,Paz,30904465,1999-02-29,2201\"",
        "\"Ana,Paz,30904465,1999-3-17,2201\"",
        "\"Ana,Paz,30904465,0000-03-17,2201\"",
        "\"Ana,Paz,123456789012345678901,1999-03-17,2201\"",
        "\"Ana,Paz,,1999-03-17,2201\"",
        "\"Ana,Paz,30.904,1999-03-17,2201\"",
        "\",Paz,30904465,1999-03-17,2201\"",
        "\"Ana,,30904465,1999-03-17,2201\"",
        "\"Ana\tB,Paz,30904465,1999-03-17,2201\"",
        "[\"Ana\",\"Paz\",\"30904465\",\"1999-03-17\",2201]",
        "[\"Ana\",\"Paz\",\"30904465\",\"1999-03-17\"]",
        "[\"Ana\",\"Paz\",\"30904465\",\"1999-03-17\",\"2201\",\"\"]",
        "null",
        `${bet},`,
        `,${bet}`
      ].map((item) => `{${usual.with(3, `"payload":[${item}]`).join()}}`),
      ...["null", "{}", "\"\"", `[${bet}`, `${bet}]`].map((payload) =>
        `{${usual.with(3, `"payload":${payload}`).join()}}`
      ),
      `{${usual.join()},}`,
      `{,${usual.join()}}`,
      `[${usual.join()}]`,
      `{${usual.join()}`,
      `{${usual.join()}}}`,
      `{${usual.join(" ")}}`,
      `{${usual.join().replaceAll(":", " ")}}`,
      `{${usual.join()}}\0`,
      ""
    ]
    for (const message of messages) {
      assert.isUndefined(scanChunk(utf8.encode(message)), message)
      assertAgrees(utf8.encode(message))
    }
  })

  it("grows for a chunk larger than any before, and goes on with small ones", () => {
    const bet = "\"Ana,Paz,30904465,1999-03-17,2201\""
    const large = utf8.encode(
      `{"type_message":1,"agency":3,"payload":[${
        Array.from({ length: 20_000 }, () => bet).join()
      }]}`
    )
    assert.strictEqual(scanChunk(large)?.bets, 20_000)
    assert.deepStrictEqual(plain(scanChunk(large)), plain(readMessage(large)))
    assertAgrees(wrap("Ana"))
  })

  it("keeps a chunk's limit on a name's characters, whatever bytes they take", () => {
    for (const character of ["a", "á", "\\u00e1", "漢", "😀"]) {
      assert.isDefined(scanChunk(wrap(character.repeat(100))), character)
      assert.isUndefined(scanChunk(wrap(character.repeat(101))), character)
    }
  })
})
