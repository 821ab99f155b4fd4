import { assert, describe, it } from "@effect/vitest"
import type { CloseReason } from "../../../src/domain/CloseReason.ts"
import { encodeFrame } from "../../../src/domain/Frame.ts"
import {
  Connection,
  type ConnectionContext,
  type Door,
  type Transport
} from "../../../src/services/intake/Connection.ts"
import { DeadlineQueue } from "../../../src/services/intake/DeadlineQueue.ts"
import { FrameBudget } from "../../../src/services/intake/FrameBudget.ts"
import type { Refused } from "../../../src/services/intake/Refusals.ts"
import { strictKeeper } from "../../support/Kept.ts"

/** A network that does what the test says: it can be slow to take answers, and it remembers what was done. */
class TestTransport implements Transport {
  readonly address = "127.0.0.1"
  readonly port = 50000
  readonly written: Array<string> = []
  unsent = 0
  reading = true
  finished = false
  destroyed = false
  onSent: (() => void) | undefined

  write(bytes: Uint8Array): void {
    this.written.push(new TextDecoder().decode(bytes.subarray(4)))
  }
  pause(): void {
    this.reading = false
  }
  resume(): void {
    this.reading = true
  }
  whenSent(callback: () => void): void {
    this.onSent = callback
  }
  finish(callback: () => void): void {
    this.finished = true
    if (this.unsent === 0) callback()
  }
  destroy(): void {
    this.destroyed = true
  }
}

const make = (door: Door = "bets", budgetBytes = 1000) => {
  const turns: Array<Connection> = []
  const closed: Array<CloseReason> = []
  const refused: Array<Refused> = []
  const context: ConnectionContext = {
    door,
    frameBytesMax: 100,
    budget: new FrameBudget(budgetBytes),
    frameDeadlines: new DeadlineQueue(),
    answerDeadlines: new DeadlineQueue(),
    lingerDeadlines: new DeadlineQueue(),
    roomDeadlines: new DeadlineQueue(),
    keeper: strictKeeper,
    roomWaitMs: 700,
    onTurn: (connection) => turns.push(connection),
    onRefused: (_, refusal) => refused.push(refusal),
    onClosed: (_, reason) => closed.push(reason)
  }
  const open = () => {
    const transport = new TestTransport()
    return { transport, connection: new Connection(context, transport) }
  }
  return { ...open(), open, context, turns, closed, refused }
}

const frame = (text: string): Uint8Array => encodeFrame(new TextEncoder().encode(text))
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

describe("Connection", () => {
  it("asks for one turn at a time, and stops reading when more comes meanwhile", () => {
    const { connection, transport, turns } = make()
    connection.onBytes(frame("first"))
    assert.strictEqual(turns.length, 1)
    assert.isTrue(transport.reading)
    connection.onBytes(frame("second"))
    assert.isFalse(transport.reading)
    assert.strictEqual(turns.length, 1)
    assert.strictEqual(textOf(connection.frame), "first")
    connection.endTurn()
    assert.strictEqual(turns.length, 2)
    assert.strictEqual(textOf(connection.frame), "second")
    connection.endTurn()
    assert.isTrue(transport.reading)
  })

  it("stops reading at once when more than a frame has come", () => {
    const { connection, transport } = make()
    connection.onBytes(Buffer.concat([frame("first"), frame("second").subarray(0, 1)]))
    assert.isFalse(transport.reading)
    connection.endTurn()
    assert.isTrue(transport.reading)
  })

  it("refuses a frame above the limit without reading its body", () => {
    const { connection, refused, transport, turns } = make()
    connection.onBytes(new Uint8Array([0, 0, 0, 101]))
    assert.deepStrictEqual(refused, [{ code: "FRAME_TOO_LARGE", bytes: 101 }])
    assert.match(transport.written.join(""), /FRAME_TOO_LARGE/)
    assert.isTrue(transport.finished)
    connection.onBytes(frame("more"))
    assert.strictEqual(turns.length, 0)
  })

  it("refuses an empty frame", () => {
    const { connection, transport } = make()
    connection.onBytes(new Uint8Array(4))
    assert.match(transport.written.join(""), /FRAME_EMPTY/)
  })

  it("waits for room before it reads a body, and gives room back", () => {
    const { connection, context, open, turns } = make("bets", 100)
    const other = open()
    connection.onBytes(frame("x".repeat(80)))
    other.connection.onBytes(frame("y".repeat(80)).subarray(0, 10))
    assert.isFalse(other.transport.reading)
    assert.strictEqual(context.frameDeadlines.size, 0)
    connection.endTurn()
    assert.isTrue(other.transport.reading)
    other.connection.onBytes(frame("y".repeat(80)).subarray(10))
    assert.deepEqual(turns, [connection, other.connection])
    other.connection.endTurn()
    assert.strictEqual(context.budget.room, 100)
  })

  it("tells a client that counts to come again when no room is found, and drops the frame as it comes", () => {
    const { connection, context, open, refused, turns } = make("bets", 100)
    const other = open()
    const expire = () => {
      for (let sweep = 0; sweep < 9; sweep++) {
        for (const waiting of context.roomDeadlines.sweep()) waiting.onRoomDeadline()
      }
    }
    connection.onBytes(frame("x".repeat(80)))
    other.connection.onBytes(frame("y".repeat(80)).subarray(0, 10))
    expire()
    assert.deepEqual(other.transport.written, [])
    connection.endTurn()
    other.connection.onBytes(frame("y".repeat(80)).subarray(10))
    other.connection.counts = true
    other.connection.endTurn()

    connection.onBytes(frame("x".repeat(80)))
    other.connection.onBytes(frame("y".repeat(80)).subarray(0, 10))
    assert.isFalse(other.transport.reading)
    expire()
    assert.lengthOf(other.transport.written, 1)
    assert.match(other.transport.written[0] ?? "", /OVERLOADED.*"retry_after_ms":\s?700/)
    assert.deepStrictEqual(refused, [{ code: "OVERLOADED" }])
    assert.isTrue(other.transport.reading)
    assert.strictEqual(context.frameDeadlines.size, 1)
    assert.strictEqual(context.budget.room, 20)
    other.connection.onBytes(frame("y".repeat(80)).subarray(10, 50))
    other.connection.onBytes(frame("y".repeat(80)).subarray(50))
    assert.strictEqual(context.frameDeadlines.size, 0)
    assert.lengthOf(turns, 3)
    other.connection.onBytes(frame("small"))
    assert.strictEqual(textOf(turns[3]?.frame ?? new Uint8Array()), "small")
    connection.endTurn()
    other.connection.endTurn()
    assert.strictEqual(context.budget.room, 100)
  })

  it("sets no deadline for room to a client that doesn't count: it waits", () => {
    const { connection, context, open } = make("bets", 100)
    const other = open()
    connection.onBytes(frame("x".repeat(80)))
    other.connection.onBytes(frame("y".repeat(80)))
    assert.strictEqual(context.roomDeadlines.size, 0)
    connection.endTurn()
    assert.strictEqual(textOf(other.connection.frame), "y".repeat(80))
  })

  it("gives room back when it goes while it waits, or in the middle of a frame", () => {
    const { connection, context, open } = make("bets", 100)
    const waiting = open()
    connection.onBytes(frame("x".repeat(80)).subarray(0, 20))
    waiting.connection.onBytes(frame("y".repeat(80)))
    waiting.connection.onGone()
    connection.onGone()
    assert.strictEqual(context.budget.room, 100)
  })

  it("sets a deadline for a started frame and none for an idle connection", () => {
    const { connection, context } = make()
    assert.strictEqual(context.frameDeadlines.size, 0)
    connection.onBytes(frame("hello").subarray(0, 2))
    assert.strictEqual(context.frameDeadlines.size, 1)
    connection.onBytes(frame("hello").subarray(2))
    assert.strictEqual(context.frameDeadlines.size, 0)
  })

  it("gives no further turn to a peer that doesn't read its answers", () => {
    const { connection, context, transport, turns } = make()
    connection.onBytes(frame("first"))
    connection.onBytes(frame("second"))
    transport.unsent = 10
    connection.endTurn()
    assert.strictEqual(turns.length, 1)
    assert.strictEqual(context.answerDeadlines.size, 1)
    transport.unsent = 0
    transport.onSent?.()
    assert.strictEqual(turns.length, 2)
    assert.strictEqual(context.answerDeadlines.size, 0)
  })

  it("answers the whole frames of a half-closed peer on the bets port, then closes", () => {
    const { closed, connection, transport, turns } = make()
    connection.onBytes(new Uint8Array([...frame("first"), ...frame("second")]))
    connection.onPeerEnd()
    connection.endTurn()
    assert.strictEqual(turns.length, 2)
    assert.isFalse(transport.finished)
    connection.endTurn()
    assert.isTrue(transport.finished)
    assert.isTrue(transport.destroyed)
    connection.onGone()
    assert.deepEqual(closed, ["peer_left"])
  })

  it("takes a FIN on the consult port for a peer that is gone", () => {
    const { connection, transport } = make("consult")
    connection.onBytes(frame("consult"))
    connection.onPeerEnd()
    assert.isTrue(transport.finished)
  })

  it("closes with FIN, discards input, and is destroyed at the peer's FIN or after a while", () => {
    const { closed, connection, context, transport, turns } = make()
    connection.close("finished")
    assert.isTrue(transport.finished)
    assert.isFalse(transport.destroyed)
    assert.strictEqual(context.lingerDeadlines.size, 1)
    connection.onBytes(frame("late"))
    assert.strictEqual(turns.length, 0)
    connection.onPeerEnd()
    assert.isTrue(transport.destroyed)
    connection.onGone()
    assert.deepEqual(closed, ["finished"])
    assert.strictEqual(context.lingerDeadlines.size, 0)
  })

  it("drains: whole frames that were read get their turns, a partial one is dropped", () => {
    const { connection, transport, turns } = make()
    connection.onBytes(new Uint8Array([...frame("first"), ...frame("second"), 0, 0]))
    connection.drain()
    connection.endTurn()
    assert.strictEqual(turns.length, 2)
    connection.endTurn()
    assert.isTrue(transport.finished)
  })

  it("is counted until its turn is over, also when its peer has gone", () => {
    const { closed, connection, context } = make()
    connection.onBytes(frame("first"))
    connection.onGone()
    assert.deepEqual(closed, [])
    connection.endTurn()
    assert.deepEqual(closed, ["connection_lost"])
    assert.strictEqual(context.budget.room, 1000)
  })

  it("ends with exactly one reason, the first", () => {
    const { closed, connection } = make()
    connection.close("superseded")
    connection.close("shutdown")
    connection.onGone()
    connection.onGone()
    assert.deepEqual(closed, ["superseded"])
  })
})

describe("FrameBudget", () => {
  it("serves those who wait in their order, also when a later one would fit", () => {
    const budget = new FrameBudget(10)
    const served: Array<string> = []
    assert.isTrue(budget.reserve({}, 8, () => {}))
    assert.isFalse(budget.reserve({}, 9, () => served.push("large")))
    assert.isFalse(budget.reserve({}, 1, () => served.push("small")))
    budget.release(8)
    assert.deepEqual(served, ["large", "small"])
    assert.strictEqual(budget.room, 0)
  })
})

describe("DeadlineQueue", () => {
  it("expires an owner after its duration and not before, in order", () => {
    const deadlines = new DeadlineQueue<string>()
    deadlines.begin("early")
    assert.deepEqual(deadlines.sweep(), [])
    deadlines.begin("late")
    deadlines.begin("early")
    for (let sweep = 2; sweep <= 8; sweep++) assert.deepEqual(deadlines.sweep(), [])
    assert.deepEqual(deadlines.sweep(), ["early"])
    assert.deepEqual(deadlines.sweep(), ["late"])
    assert.strictEqual(deadlines.size, 0)
  })
})
