import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { encodeFrame, FrameDecoder } from "../../src/domain/Frame.ts"

const Body = Schema.Uint8Array.check(Schema.isMinLength(1))
const Bodies = Schema.Array(Body).check(Schema.isMaxLength(6))
/** Lengths of the pieces a stream is cut into; used round and round. */
const Cuts = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 })))

const joined = (pieces: ReadonlyArray<Uint8Array>): Uint8Array =>
  Uint8Array.from(Buffer.concat(pieces))

const pieces = (stream: Uint8Array, cuts: ReadonlyArray<number>): Array<Uint8Array> => {
  const cut: Array<Uint8Array> = []
  for (let at = 0, index = 0; at < stream.length; index++) {
    const length = cuts.length === 0 ? stream.length : cuts[index % cuts.length] ?? 1
    cut.push(stream.slice(at, at + length))
    at += length
  }
  return cut
}

/** Every whole frame of what the decoder has, each accepted as it is announced. */
const frames = (decoder: FrameDecoder): Array<Uint8Array> => {
  const bodies: Array<Uint8Array> = []
  for (let step = decoder.next(); step._tag !== "Starved"; step = decoder.next()) {
    if (step._tag === "Announced") decoder.accept()
    else bodies.push(step.body)
  }
  return bodies
}

describe("Frame", () => {
  it.prop("any split of the stream gives the same frames", [Bodies, Cuts], ([bodies, cuts]) => {
    const decoder = new FrameDecoder()
    const decoded: Array<Uint8Array> = []
    for (const piece of pieces(joined(bodies.map(encodeFrame)), cuts)) {
      decoder.push(piece)
      decoded.push(...frames(decoder))
    }
    assert.deepStrictEqual(
      decoded.map((body) => Array.from(body)),
      bodies.map((body) => Array.from(body))
    )
    assert.isFalse(decoder.midFrame)
  }, { arbitrary: { runs: 500 } })

  it.prop("pieces pushed before anything is decoded give the same frames", [Bodies, Cuts], (
    [bodies, cuts]
  ) => {
    const decoder = new FrameDecoder()
    for (const piece of pieces(joined(bodies.map(encodeFrame)), cuts)) decoder.push(piece)
    assert.deepStrictEqual(
      frames(decoder).map((body) => Array.from(body)),
      bodies.map((body) => Array.from(body))
    )
  })

  it.prop("any split of the stream drops the same bodies, and keeps the others", [Bodies, Cuts], (
    [bodies, cuts]
  ) => {
    const decoder = new FrameDecoder()
    const kept: Array<ReadonlyArray<number>> = []
    let announced = 0
    for (const piece of pieces(joined(bodies.map(encodeFrame)), cuts)) {
      decoder.push(piece)
      for (let step = decoder.next(); step._tag !== "Starved"; step = decoder.next()) {
        if (step._tag === "Frame") kept.push(Array.from(step.body))
        else if (announced++ % 2 === 0) decoder.skip()
        else decoder.accept()
      }
    }
    assert.deepStrictEqual(
      kept,
      bodies.filter((_, index) => index % 2 === 1).map((body) => Array.from(body))
    )
    assert.isFalse(decoder.midFrame)
  }, { arbitrary: { runs: 500 } })

  it.prop("is amid a frame exactly when the stream was cut inside one", [
    Body,
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 }))
  ], ([body, cut]) => {
    const frame = encodeFrame(body)
    const decoder = new FrameDecoder()
    decoder.push(frame.slice(0, Math.min(cut, frame.length)))
    frames(decoder)
    assert.strictEqual(decoder.midFrame, cut > 0 && cut < frame.length)
  })

  it("announces a frame's length without any of its body, and waits to be told to accept", () => {
    const decoder = new FrameDecoder()
    decoder.push(Uint8Array.of(0xff, 0xff, 0xff, 0xff))
    assert.deepStrictEqual(decoder.next(), { _tag: "Announced", bytes: 0xffff_ffff })
    assert.deepStrictEqual(decoder.next(), { _tag: "Announced", bytes: 0xffff_ffff })
    assert.isTrue(decoder.midFrame)
  })

  it("keeps the body's first bytes until the announced frame is accepted", () => {
    const decoder = new FrameDecoder()
    decoder.push(Uint8Array.of(0, 0, 0, 3, 1, 2))
    assert.deepStrictEqual(decoder.next(), { _tag: "Announced", bytes: 3 })
    decoder.push(Uint8Array.of(3))
    decoder.accept()
    assert.deepStrictEqual(decoder.next(), { _tag: "Frame", body: Uint8Array.of(1, 2, 3) })
    assert.deepStrictEqual(decoder.next(), { _tag: "Starved" })
  })

  it("announces an empty frame, so that it can be refused", () => {
    const decoder = new FrameDecoder()
    decoder.push(Uint8Array.of(0, 0, 0, 0))
    assert.deepStrictEqual(decoder.next(), { _tag: "Announced", bytes: 0 })
  })

  it("takes an accept without an announcement for nothing", () => {
    const decoder = new FrameDecoder()
    decoder.accept()
    decoder.push(encodeFrame(Uint8Array.of(7)))
    decoder.accept()
    assert.deepStrictEqual(decoder.next(), { _tag: "Announced", bytes: 1 })
  })
})
