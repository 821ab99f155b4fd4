import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { BetFields, fieldsOfBet } from "../../src/domain/Bet.ts"
import { recordOf as betRecordOf } from "../../src/domain/BetRecord.ts"
import type { Parsed } from "../../src/domain/Chunk.ts"
import { FrameDecoder } from "../../src/domain/Frame.ts"
import {
  decodeNotice,
  decodeRequest,
  decodeResponse,
  encodeNotice,
  encodeRequest,
  encodeResponse,
  RequestBatch,
  ResponseBatch
} from "../../src/parser/ParserPipe.ts"

const Counter = Schema.Int.check(
  Schema.isBetween({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })
)
const Id = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff_ffff }))
const Notice = Schema.Literals(["Ready", "Outgrown"])
const WellFormed = Schema.String.check(Schema.makeFilter((text: string) => text.isWellFormed()))

const Chunk = Schema.Struct({
  agency: Counter,
  seq: Schema.UndefinedOr(Counter),
  last: Schema.Boolean,
  bets: Schema.Array(BetFields).check(Schema.isMaxLength(5))
})
const Other = Schema.Union([
  Schema.Struct({ _tag: Schema.Literal("Resume"), agency: Counter }),
  Schema.Struct({ _tag: Schema.Literal("WrongPort"), agency: Schema.UndefinedOr(Counter) }),
  Schema.Struct({
    _tag: Schema.Literal("Refused"),
    code: Schema.Literals(["INVALID_MESSAGE", "INVALID_BET"]),
    agency: Schema.UndefinedOr(Counter),
    seq: Schema.UndefinedOr(Counter),
    index: Schema.UndefinedOr(Id),
    message: WellFormed
  })
])

const parsedChunk = Arbitrary.schema(Chunk).pipe(
  Arbitrary.map(({ agency, bets, last, seq }): Parsed => ({
    _tag: "Chunk",
    agency,
    seq,
    last,
    bets: bets.length,
    numbers: Uint8Array.from(
      bets.flatMap(({ number }) => [Number(number) >> 8, Number(number) % 256])
    ),
    body: new TextEncoder().encode(bets.map((bet) => betRecordOf(fieldsOfBet(bet))).join(""))
  }))
)
const parsedOther = Arbitrary.schema(Other).pipe(Arbitrary.map((other): Parsed => other))

/** The one record of a length-prefixed piece. */
const recordOf = (bytes: Uint8Array): Uint8Array => {
  const decoder = new FrameDecoder()
  decoder.push(bytes)
  decoder.next()
  decoder.accept()
  const step = decoder.next()
  assert.strictEqual(step._tag, "Frame")
  assert.isFalse(decoder.midFrame)
  return step._tag === "Frame" ? step.body : new Uint8Array(0)
}

describe("ParserPipe", () => {
  it.prop("round-trips requests", [Id, Schema.Uint8Array], ([id, frameBody]) => {
    const [header, body] = encodeRequest(id, frameBody)
    assert.strictEqual(header.length, 8)
    const record = recordOf(Buffer.concat([header, body]))
    const decoded = decodeRequest(record)
    assert.strictEqual(decoded?.id, id)
    assert.deepStrictEqual([...decoded?.body ?? []], [...frameBody])
  })

  it.prop("batches requests as one after another", [
    Arbitrary.array(Arbitrary.all([Arbitrary.schema(Id), Arbitrary.schema(Schema.Uint8Array)]))
  ], ([requests]) => {
    const batch = new RequestBatch(16)
    for (let round = 0; round < 2; round++) {
      for (const [id, frameBody] of requests) batch.add(id, frameBody)
      const single = requests.flatMap(([id, frameBody]) => encodeRequest(id, frameBody))
      assert.strictEqual(Buffer.compare(batch.take(), Buffer.concat(single)), 0)
      assert.strictEqual(batch.length, 0)
    }
  })

  it.prop("round-trips chunks", [Id, parsedChunk], ([id, parsed]) => {
    assert.deepStrictEqual(decodeResponse(recordOf(encodeResponse(id, parsed))), { id, parsed })
  }, { arbitrary: { runs: 300 } })

  it.prop("round-trips everything else", [Id, parsedOther], ([id, parsed]) => {
    assert.deepStrictEqual(decodeResponse(recordOf(encodeResponse(id, parsed))), { id, parsed })
  }, { arbitrary: { runs: 300 } })

  it.prop("round-trips notices", [Notice], ([notice]) => {
    assert.strictEqual(decodeNotice(recordOf(encodeNotice(notice))), notice)
  })

  it.prop("takes no response for a notice and no notice for a response", [
    Id,
    parsedChunk,
    parsedOther,
    Notice
  ], ([id, chunk, other, notice]) => {
    for (const parsed of [chunk, other]) {
      assert.isUndefined(decodeNotice(recordOf(encodeResponse(id, parsed))))
    }
    assert.isUndefined(decodeResponse(recordOf(encodeNotice(notice))))
  })

  it.prop("batches responses and notices as one after another", [
    Arbitrary.array(Arbitrary.all([
      Arbitrary.schema(Id),
      parsedChunk,
      Arbitrary.schema(Schema.UndefinedOr(Notice))
    ]))
  ], ([said]) => {
    const batch = new ResponseBatch(16)
    for (let round = 0; round < 2; round++) {
      const single: Array<Uint8Array> = []
      for (const [id, parsed, notice] of said) {
        batch.add(id, parsed)
        single.push(encodeResponse(id, parsed))
        if (notice === undefined) continue
        batch.addNotice(notice)
        single.push(encodeNotice(notice))
      }
      assert.strictEqual(Buffer.compare(batch.take(), Buffer.concat(single)), 0)
    }
  })

  it.prop("gives undefined for a response cut short, and never throws", [
    Id,
    parsedChunk,
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 }))
  ], ([id, parsed, length]) => {
    const record = recordOf(encodeResponse(id, parsed))
    const cut = decodeResponse(record.subarray(0, Math.min(length, record.length - 1)))
    // Only the length in front of the record guards against a cut within the body.
    if (length < 28) assert.isUndefined(cut)
  })

  it.prop("takes no flipped bit for another kind of response, and never throws", [
    Id,
    parsedOther,
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100_000 })),
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 7 }))
  ], ([id, parsed, at, bit]) => {
    const record = recordOf(encodeResponse(id, parsed))
    const index = at % record.length
    record[index] = (record[index] ?? 0) ^ 1 << bit
    const decoded = decodeResponse(record)
    assert.isTrue(decoded === undefined || encodeResponse(decoded.id, decoded.parsed).length > 0)
    if (index === 4) assert.notStrictEqual(decoded?.parsed._tag, parsed._tag)
  }, { arbitrary: { runs: 500 } })

  it.prop("never throws on garbage, and what it takes encodes to the same bytes", [
    Schema.Uint8Array,
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 }))
  ], ([garbage, kind]) => {
    const record = new Uint8Array(28 + garbage.length)
    record.set(garbage, 28)
    record[4] = kind
    for (const candidate of [garbage, record, Uint8Array.of(kind)]) {
      const notice = decodeNotice(candidate)
      if (notice !== undefined) {
        assert.deepStrictEqual([...recordOf(encodeNotice(notice))], [...candidate])
      }
      const decoded = decodeResponse(candidate)
      if (decoded !== undefined) {
        assert.deepStrictEqual(
          [...recordOf(encodeResponse(decoded.id, decoded.parsed))],
          [...candidate]
        )
      }
    }
  }, { arbitrary: { runs: 500 } })

  it("refuses every inconsistency of a chunk's fixed part", () => {
    const parsed: Parsed = {
      _tag: "Chunk",
      agency: 3,
      seq: 17,
      last: false,
      bets: 1,
      numbers: Uint8Array.of(0, 1),
      body: new TextEncoder().encode("a\tb\t1\t1999-03-17\t1\n")
    }
    const changed = (change: (view: DataView) => void) => {
      const record = recordOf(encodeResponse(1, parsed))
      change(new DataView(record.buffer, record.byteOffset, record.byteLength))
      return decodeResponse(record)
    }
    assert.isDefined(changed(() => {}))
    const changes: ReadonlyArray<(view: DataView) => void> = [
      (view) => view.setUint8(4, 0),
      (view) => view.setUint8(4, 5),
      (view) => view.setUint8(5, 0),
      (view) => view.setUint8(5, 2),
      (view) => view.setUint8(5, 2 | 4 | 8),
      (view) => view.setUint8(5, 2 | 4 | 16),
      (view) => view.setUint16(6, 1),
      (view) => view.setFloat64(8, 0),
      (view) => view.setFloat64(8, 1.5),
      (view) => view.setFloat64(8, -1),
      (view) => view.setFloat64(8, NaN),
      (view) => view.setFloat64(8, 2 ** 53),
      (view) => view.setFloat64(16, Infinity),
      (view) => view.setUint32(24, 0),
      (view) => view.setUint32(24, 2),
      (view) => view.setUint8(view.byteLength - 1, 0x20),
      (view) => view.setUint32(24, 0xffff_ffff)
    ]
    for (const [index, change] of changes.entries()) assert.isUndefined(changed(change), `${index}`)
  })

  it("refuses a request too short for an id", () => {
    assert.isUndefined(decodeRequest(new Uint8Array(3)))
    assert.deepStrictEqual(decodeRequest(new Uint8Array(4)), { id: 0, body: new Uint8Array(0) })
  })
})
