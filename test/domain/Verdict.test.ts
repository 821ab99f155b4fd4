import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { AgencyId } from "../../src/domain/Agency.ts"
import { DrawName } from "../../src/domain/Draw.ts"
import type { ErrorCode, Rejection } from "../../src/domain/Rejection.ts"
import * as Verdicts from "../../src/domain/Verdict.ts"

const draw = DrawName.make("2026-11-24-nocturna")
const SeqOrNone = Schema.UndefinedOr(
  Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 }))
)
const Code = Schema.Literals(["INVALID_BET", "UNKNOWN_AGENCY", "SEQUENCE_GAP", "REPLAY_MISMATCH"])
const isAgency = (id: number): id is AgencyId => Schema.is(AgencyId)(id) && id <= 5

describe("a verdict on the bets port", () => {
  it("tells a client that doesn't number its chunks of a chunk on disk by type 1 alone", () => {
    const stored = Verdicts.processed({ last: false, seq: undefined }, false, draw)
    const duplicate = Verdicts.processed({ last: false, seq: undefined }, true, draw)
    assert.deepStrictEqual(stored, {
      answer: { _tag: "ChunkProcessed" },
      close: undefined,
      refused: undefined
    })
    assert.deepStrictEqual(duplicate, stored)
  })

  it.prop(
    "closes after the last chunk, whoever sent it, and names the draw to a client that numbers its chunks",
    [SeqOrNone, Schema.Boolean],
    ([number, duplicate]) => {
      const { answer, close } = Verdicts.processed({ last: true, seq: number }, duplicate, draw)
      assert.strictEqual(close, "finished")
      assert.strictEqual(answer?._tag, "ChunkProcessed")
      if (number !== undefined) assert.include(answer, { seq: number, draw })
    }
  )

  it.prop("rejects with the code, and closes exactly when the message has no seq", [
    SeqOrNone,
    Code
  ], ([number, rejectionCode]) => {
    const rejection: Rejection = { code: rejectionCode, message: "why" }
    const { answer, close, refused } = Verdicts.rejected({ agency: 3, seq: number }, rejection)
    assert.include(answer, { _tag: "ChunkRejected", code: rejectionCode, seq: number })
    assert.strictEqual(close, number === undefined ? rejectionCode : undefined)
    assert.strictEqual(refused?.code, rejectionCode)
  })

  it.prop("puts off with an answer, or closes without one: never both, never neither", [
    Schema.Boolean,
    SeqOrNone
  ], ([tellable, number]) => {
    const why = { code: "LEDGER_UNAVAILABLE", message: "why", retryAfterMs: 50 } as const
    const { answer, close, refused } = Verdicts.putOff(tellable, number, why)
    assert.strictEqual(answer !== undefined, tellable)
    assert.strictEqual(close, tellable ? undefined : "unavailable")
    assert.include(refused, { code: "LEDGER_UNAVAILABLE", understood: tellable })
  })

  it("lets a connection speak for the agency of its first message, and for one of the roster", () => {
    const [first, other] = [AgencyId.make(1), AgencyId.make(2)]
    assert.strictEqual(Verdicts.speaksFor(undefined, 1, isAgency), first)
    assert.strictEqual(Verdicts.speaksFor(first, 1, isAgency), first)
    assert.include(Verdicts.speaksFor(other, 1, isAgency), { code: "AGENCY_MISMATCH" })
    assert.include(Verdicts.speaksFor(undefined, 6, isAgency), { code: "UNKNOWN_AGENCY" })
  })

  it("refuses an unusable message by who may not speak, if that is so, else by what is wrong with it", () => {
    const refusal = {
      _tag: "Refused",
      code: "INVALID_BET",
      agency: 6,
      seq: 1,
      index: 4,
      message: "bet 4"
    } as const
    const stranger = Verdicts.speaksFor(undefined, 6, isAgency)
    assert.include(Verdicts.unusable(refusal, stranger).answer, { code: "UNKNOWN_AGENCY" })
    assert.include(Verdicts.unusable(refusal, AgencyId.make(1)).answer, {
      code: "INVALID_BET",
      index: 4
    })
  })
})

describe("a verdict on a stream that can't go on", () => {
  it("is ERROR with the code, and a close with the same", () => {
    const codes: ReadonlyArray<ErrorCode> = ["FRAME_EMPTY", "TIMEOUT", "WRONG_PORT"]
    for (const errorCode of codes) {
      const { answer, close, refused } = Verdicts.endedByError(errorCode, "why", { agency: 3 })
      assert.deepStrictEqual(answer, { _tag: "ErrorAnswer", code: errorCode, message: "why" })
      assert.strictEqual(close, errorCode)
      assert.deepStrictEqual(refused, { code: errorCode, agency: 3 })
    }
  })
})

describe("a verdict on the consult port", () => {
  it("closes whether the draw was held or not", () => {
    assert.deepStrictEqual(Verdicts.winners(["30904465"]), {
      answer: { _tag: "InformAgencyWinners", documents: ["30904465"] },
      close: "served",
      refused: undefined
    })
    assert.strictEqual(Verdicts.notDrawnYet(1000).close, "served")
  })
})
