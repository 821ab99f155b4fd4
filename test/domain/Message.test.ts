import { assert, describe, it } from "@effect/vitest"
import { Option, Result, Schema } from "effect"
import { DrawName } from "../../src/domain/Draw.ts"
import {
  Answer,
  chunkProcessedFrame,
  decodeAnswer,
  decodeConsult,
  encodeAnswer,
  encodeRequest,
  Request
} from "../../src/domain/Message.ts"

const utf8 = new TextEncoder()

/** The body of a frame that must be whole and alone. */
const bodyOf = (frame: Uint8Array): Uint8Array => {
  const length = new DataView(frame.buffer, frame.byteOffset).getUint32(0)
  assert.strictEqual(frame.length, 4 + length)
  return frame.subarray(4)
}
const textOf = (frame: Uint8Array): string => new TextDecoder().decode(bodyOf(frame))
const decodeRequest = Schema.decodeUnknownSync(Request)

/** A key that is left out and one that is undefined mean the same, and the wire knows only the former. */
const withoutUndefined = (message: object): object =>
  Object.fromEntries(Object.entries(message).filter(([, value]) => value !== undefined))

/** The field's dialect: integers as decimal strings. */
const inStrings = (wire: object): unknown =>
  Object.fromEntries(
    Object.entries(wire).map(([key, value]) =>
      key === "type_message" || key === "agency" ? [key, String(value)] : [key, value]
    )
  )

describe("requests", () => {
  it.prop("round-trip through a frame in our dialect", [Request], ([request]) => {
    const wire: unknown = JSON.parse(textOf(encodeRequest(request)))
    assert.deepStrictEqual<object>(decodeRequest(wire), withoutUndefined(request))
  }, { arbitrary: { runs: 300 } })

  it.prop("round-trip through their schema", [Request], ([request]) => {
    assert.deepStrictEqual(decodeRequest(Schema.encodeSync(Request)(request)), request)
  })

  it.prop("mean the same with integers as strings, as old agencies write them", [Request], (
    [request]
  ) => {
    assert.deepStrictEqual(decodeRequest(inStrings(Schema.encodeSync(Request)(request))), request)
  })

  it.prop("are pure ASCII", [Request], ([request]) => {
    assert.match(textOf(encodeRequest(request)), /^[ -~]*$/)
  })

  it("are written as the field's are", () => {
    const [agency] = [decodeRequest({ type_message: 4, agency: 3 }).agency]
    assert.strictEqual(
      textOf(encodeRequest({ _tag: "Resume", agency })),
      "{\"type_message\": 4, \"agency\": 3}"
    )
    assert.strictEqual(
      textOf(encodeRequest({ _tag: "ConsultWinners", agency, wait: true })),
      "{\"type_message\": 3, \"agency\": 3, \"payload\": null}"
    )
    assert.strictEqual(
      textOf(encodeRequest({ _tag: "ConsultWinners", agency, wait: false })),
      "{\"type_message\": 3, \"agency\": 3, \"payload\": null, \"wait\": false}"
    )
    const bets = [{
      firstName: "Sofía",
      lastName: "Paz",
      document: "30904465",
      birthdate: "1999-03-17",
      number: "2201"
    }]
    assert.strictEqual(
      textOf(encodeRequest({ _tag: "SendLastChunk", agency, seq: undefined, bets })),
      "{\"type_message\": 2, \"agency\": 3, \"payload\": [\"Sof\\u00eda,Paz,30904465,1999-03-17,2201\"]}"
    )
  })

  it("are refused with integers in other spellings, and seq as a string or null", () => {
    const chunk = { type_message: 1, agency: 3, payload: [] }
    const is = Schema.decodeUnknownOption(Request)
    assert.isTrue(Option.isSome(is(chunk)))
    for (
      const agency of [0, -1, 1.5, "03", "0", "", " 3", "3.0", null, 2 ** 53, "9007199254740992"]
    ) {
      assert.isTrue(Option.isNone(is({ ...chunk, agency })), String(agency))
    }
    for (const type of [0, 5, "01", "1 ", 1.5, null]) {
      assert.isTrue(Option.isNone(is({ ...chunk, type_message: type })), String(type))
    }
    for (const seq of [0, -1, "1", null, 1.5]) {
      assert.isTrue(Option.isNone(is({ ...chunk, seq })), String(seq))
    }
  })
})

describe("answers", () => {
  it.prop("round-trip through a frame", [Answer], ([answer]) => {
    assert.deepStrictEqual<object>(
      decodeAnswer(bodyOf(encodeAnswer(answer))),
      Option.some(withoutUndefined(answer))
    )
  }, { arbitrary: { runs: 500 } })

  it.prop("say what their schema says", [Answer], ([answer]) => {
    const wire: unknown = JSON.parse(textOf(encodeAnswer(answer)))
    assert.deepStrictEqual(wire, withoutUndefined(Schema.encodeSync(Answer)(answer)))
  }, { arbitrary: { runs: 500 } })

  it.prop("are pure ASCII with an integer type_message in front", [Answer], ([answer]) => {
    assert.match(textOf(encodeAnswer(answer)), /^\{"type_message": [1-6][ -~]*\}$/)
  }, { arbitrary: { runs: 300 } })

  it("are written to the letter as agencies in the field know them", () => {
    const texts = [
      encodeAnswer({ _tag: "ChunkProcessed" }),
      encodeAnswer({ _tag: "ChunkProcessed", seq: 17, duplicate: undefined }),
      encodeAnswer({ _tag: "ChunkProcessed", seq: 17, duplicate: true }),
      encodeAnswer({ _tag: "InformAgencyWinners", documents: [] }),
      encodeAnswer({ _tag: "InformAgencyWinners", documents: ["30904465", "27000111"] }),
      encodeAnswer({
        _tag: "ChunkRejected",
        seq: undefined,
        code: "INVALID_BET",
        index: 12,
        message: "ñ\x7f😀\"\n"
      }),
      encodeAnswer({
        _tag: "ResumePoint",
        seq: 16,
        bets: 1600,
        digest: "00ff",
        finished: false
      }),
      encodeAnswer({
        _tag: "ResumePoint",
        seq: 0,
        bets: 0,
        digest: "",
        finished: true,
        draw: DrawName.make("2026-11-24-nocturna")
      }),
      encodeAnswer({ _tag: "ChunkProcessed", seq: 18, draw: DrawName.make("2026-11-24T210305") }),
      encodeAnswer({
        _tag: "ChunkProcessed",
        seq: 18,
        duplicate: true,
        draw: DrawName.make("2026-11-24T210305")
      }),
      encodeAnswer({ _tag: "WinnersNotReady", retryAfterMs: 850 }),
      encodeAnswer({ _tag: "ErrorAnswer", code: "FRAME_TOO_LARGE", message: "m" })
    ].map(textOf)
    assert.deepStrictEqual(texts, [
      "{\"type_message\": 1, \"payload\": null}",
      "{\"type_message\": 1, \"payload\": null, \"seq\": 17}",
      "{\"type_message\": 1, \"payload\": null, \"seq\": 17, \"duplicate\": true}",
      "{\"type_message\": 2, \"payload\": \"\"}",
      "{\"type_message\": 2, \"payload\": \"30904465,27000111\"}",
      "{\"type_message\": 3, \"payload\": null, \"code\": \"INVALID_BET\", \"index\": 12, "
      + "\"message\": \"\\u00f1\\u007f\\ud83d\\ude00\\\"\\n\"}",
      "{\"type_message\": 4, \"seq\": 16, \"bets\": 1600, \"digest\": \"00ff\", \"finished\": false}",
      "{\"type_message\": 4, \"seq\": 0, \"bets\": 0, \"digest\": \"\", \"finished\": true, "
      + "\"draw\": \"2026-11-24-nocturna\"}",
      "{\"type_message\": 1, \"payload\": null, \"seq\": 18, \"draw\": \"2026-11-24T210305\"}",
      "{\"type_message\": 1, \"payload\": null, \"seq\": 18, \"duplicate\": true, "
      + "\"draw\": \"2026-11-24T210305\"}",
      "{\"type_message\": 5, \"payload\": null, \"retry_after_ms\": 850}",
      "{\"type_message\": 6, \"payload\": null, \"code\": \"FRAME_TOO_LARGE\", \"message\": \"m\"}"
    ])
    assert.strictEqual(encodeAnswer({ _tag: "ChunkProcessed" }), chunkProcessedFrame)
  })

  it("say the draw's name, or nothing where a central doesn't know of names", () => {
    const drawOf = (json: string): unknown =>
      Option.map(decodeAnswer(utf8.encode(json)), (answer) => "draw" in answer && answer.draw)
    const point = "\"type_message\":4,\"seq\":1,\"bets\":1,\"digest\":\"\",\"finished\":false"
    assert.deepStrictEqual(drawOf(`{${point},"draw":"a"}`), Option.some("a"))
    assert.deepStrictEqual(drawOf(`{${point}}`), Option.some(false))
    assert.deepStrictEqual(drawOf("{\"type_message\":1,\"seq\":1}"), Option.some(false))
    assert.deepStrictEqual(drawOf(`{${point},"draw":"../a"}`), Option.none())
  })

  it("that aren't JSON, not UTF-8, or of an unknown type or code are none", () => {
    for (const bad of ["", "{", "[]", "null", "{\"type_message\":7}", "{\"type_message\":\"1\"}"]) {
      assert.isTrue(Option.isNone(decodeAnswer(utf8.encode(bad))), bad)
    }
    assert.isTrue(Option.isNone(decodeAnswer(Uint8Array.of(0xff))))
    const unknown = "{\"type_message\":6,\"code\":\"NEW\",\"message\":\"\"}"
    assert.isTrue(Option.isNone(decodeAnswer(utf8.encode(unknown))))
  })
})

describe("consults", () => {
  const consult = (json: string): unknown => {
    const decoded = decodeConsult(utf8.encode(json))
    return Result.isSuccess(decoded)
      ? [decoded.success.agency, decoded.success.wait]
      : decoded.failure.code
  }

  it("are read in either dialect, whatever their payload, and wait unless told not to", () => {
    const good: ReadonlyArray<readonly [string, number, boolean]> = [
      ["{\"type_message\": 3, \"agency\": \"3\", \"payload\": null}", 3, true],
      ["{\"payload\":[1],\"agency\":5,\"type_message\":\"3\",\"wait\":false,\"x\":{}}", 5, false],
      ["{\"type_message\": 3, \"agency\": 7, \"wait\": true}", 7, true]
    ]
    for (const [json, agency, wait] of good) assert.deepStrictEqual(consult(json), [agency, wait])
  })

  it("are told from messages of the bets port, whatever these hold", () => {
    for (const type of ["1", "2", "4", "\"1\"", "\"2\"", "\"4\""]) {
      assert.strictEqual(consult(`{"type_message":${type}}`), "WRONG_PORT", type)
    }
  })

  it("name the agency that they claim to be of, also where they are refused", () => {
    const claimed = (json: string): unknown => {
      const decoded = decodeConsult(utf8.encode(json))
      return Result.isFailure(decoded) ? decoded.failure.agency : "not refused"
    }
    assert.strictEqual(claimed("{\"type_message\":1,\"agency\":\"3\",\"payload\":[]}"), 3)
    assert.strictEqual(claimed("{\"type_message\":9,\"agency\":3}"), 3)
    assert.isUndefined(claimed("{\"type_message\":1,\"agency\":\"x\"}"))
    assert.isUndefined(claimed("{"))
  })

  it("are refused when they are no consult", () => {
    const bad = [
      "",
      "[]",
      "null",
      "{\"type_message\":5,\"agency\":3}",
      "{\"type_message\":3}",
      "{\"agency\":3}",
      "{\"type_message\":3,\"agency\":0}",
      "{\"type_message\":3,\"agency\":3,\"wait\":1}",
      "{\"type_message\":3,\"agency\":3,\"wait\":null}",
      "\ufeff{\"type_message\":3,\"agency\":3}"
    ]
    for (const json of bad) assert.strictEqual(consult(json), "INVALID_MESSAGE", json)
    assert.isTrue(Result.isFailure(decodeConsult(Uint8Array.of(0x7b, 0xff, 0x7d))))
  })
})
