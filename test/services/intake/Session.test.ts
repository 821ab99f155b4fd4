import { assert, describe, it } from "@effect/vitest"
import { DrawName } from "../../../src/domain/Draw.ts"
import { processed } from "../../../src/domain/Verdict.ts"
import { openSession } from "../../support/Sessions.ts"

const why = { code: "PARSER_FAILED", message: "the parser failed", retryAfterMs: 50 } as const

describe("Session", () => {
  it("tells a client that numbers its chunks to come again when a frame found no room", () => {
    const { budget, refused, room, send, session, transport } = openSession(1, 10)
    budget.reserve({}, 5, () => {})
    session.chunkArrived(1)
    assert.isUndefined(send("too long for the room"))
    assert.strictEqual(room.size, 1)
    session.connection.onRoomDeadline()
    assert.lengthOf(transport.written, 1)
    assert.match(transport.written[0] ?? "", /OVERLOADED.*"retry_after_ms":\s?700/)
    assert.deepStrictEqual(refused, [{ code: "OVERLOADED", seq: undefined, understood: true }])
    assert.isFalse(transport.finished)
  })

  it("never tells a client that doesn't number its chunks what waiting can cure: it closes", () => {
    const { session, transport } = openSession(1)
    session.putOffUnread(why)
    assert.deepStrictEqual(transport.written, [])
    assert.isTrue(transport.finished)
  })

  it("judges no chunk without seq behind a frame that was refused unread, until RESUME", () => {
    const { session } = openSession(1)
    assert.isTrue(session.chunkArrived(1))
    session.putOffUnread(why)
    assert.isFalse(session.chunkArrived(undefined))
    assert.isTrue(session.chunkArrived(2))
    session.resumed()
    assert.isTrue(session.chunkArrived(undefined))
  })

  it("answers nothing any more once it is closing, and writes no refusal for it", () => {
    const { refused, session, transport } = openSession(1)
    session.connection.close("superseded")
    session.putOff({ seq: 1 }, why)
    session.putOffUnread(why)
    session.carryOut(processed({ last: false, seq: 1 }, false, DrawName.make("test")))
    assert.deepStrictEqual(transport.written, [])
    assert.deepStrictEqual(refused, [])
  })
})
