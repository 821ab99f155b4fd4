import { assert, describe, it } from "@effect/vitest"
import type { CloseReason } from "../../../src/domain/CloseReason.ts"
import { encodeFrame } from "../../../src/domain/Frame.ts"
import type { Refused, Verdict } from "../../../src/domain/Verdict.ts"
import {
  Connection,
  type ConnectionContext,
  type ConnectionOwner,
  type Door,
  type Transport
} from "../../../src/services/intake/Connection.ts"
import { FrameBudget } from "../../../src/services/intake/FrameBudget.ts"
import { SharedDeadline } from "../../../src/services/intake/SharedDeadline.ts"
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

/** Takes frames as they come, and notes what it is told. */
class TestOwner implements ConnectionOwner {
  readonly connection: Connection
  readonly speaks = {}
  tellable = false
  frame: Uint8Array | undefined
  readonly #seen: Seen

  constructor(context: ConnectionContext, transport: Transport, seen: Seen) {
    this.#seen = seen
    this.connection = new Connection(context, transport, this)
  }

  onFrame(frame: Uint8Array): void {
    this.frame = frame
    this.#seen.turns.push(this)
  }
  onFrameDropped(): void {
    this.#seen.dropped++
  }
  carryOut({ close, refused }: Verdict): void {
    if (refused !== undefined) this.#seen.refused.push(refused)
    if (close !== undefined) this.connection.close(close)
  }
  onClosed(reason: CloseReason): void {
    this.#seen.closed.push(reason)
  }
}

interface Seen {
  readonly turns: Array<TestOwner>
  readonly closed: Array<CloseReason>
  readonly refused: Array<Refused>
  dropped: number
}

const make = (door: Door = "bets", budgetBytes = 1000) => {
  const seen: Seen = { turns: [], closed: [], refused: [], dropped: 0 }
  const context: ConnectionContext = {
    door,
    frameBytesMax: 100,
    budget: new FrameBudget(budgetBytes),
    deadlines: {
      frame: new SharedDeadline(),
      answers: new SharedDeadline(),
      linger: new SharedDeadline(),
      room: new SharedDeadline()
    },
    keeper: strictKeeper
  }
  const open = () => {
    const transport = new TestTransport()
    const owner = new TestOwner(context, transport, seen)
    return { transport, owner, connection: owner.connection }
  }
  return { ...open(), open, context, seen, ...seen }
}

const frame = (text: string): Uint8Array => encodeFrame(new TextEncoder().encode(text))
const textOf = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes)

describe("Connection", () => {
  it("asks for one turn at a time, and stops reading when more comes meanwhile", () => {
    const { connection, owner, transport, turns } = make()
    connection.onBytes(frame("first"))
    assert.strictEqual(turns.length, 1)
    assert.isTrue(transport.reading)
    connection.onBytes(frame("second"))
    assert.isFalse(transport.reading)
    assert.strictEqual(turns.length, 1)
    assert.strictEqual(textOf(owner.frame), "first")
    connection.endTurn()
    assert.strictEqual(turns.length, 2)
    assert.strictEqual(textOf(owner.frame), "second")
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
    assert.isTrue(transport.finished)
    connection.onBytes(frame("more"))
    assert.strictEqual(turns.length, 0)
  })

  it("refuses an empty frame", () => {
    const { connection, refused, transport } = make()
    connection.onBytes(new Uint8Array(4))
    assert.deepStrictEqual(refused, [{ code: "FRAME_EMPTY" }])
    assert.isTrue(transport.finished)
  })

  it("waits for room before it reads a body, and gives room back", () => {
    const { connection, context, open, owner, turns } = make("bets", 100)
    const other = open()
    connection.onBytes(frame("x".repeat(80)))
    other.connection.onBytes(frame("y".repeat(80)).subarray(0, 10))
    assert.isFalse(other.transport.reading)
    assert.strictEqual(context.deadlines.frame.size, 0)
    connection.endTurn()
    assert.isTrue(other.transport.reading)
    other.connection.onBytes(frame("y".repeat(80)).subarray(10))
    assert.deepEqual(turns, [owner, other.owner])
    other.connection.endTurn()
    assert.strictEqual(context.budget.room, 100)
  })

  it("drops a frame that finds no room in time as it comes, when the client can be told", () => {
    const { connection, context, open, seen, turns } = make("bets", 100)
    const other = open()
    other.owner.tellable = true
    connection.onBytes(frame("x".repeat(80)))
    other.connection.onBytes(frame("y".repeat(80)).subarray(0, 10))
    assert.isFalse(other.transport.reading)
    for (let sweep = 0; sweep < 9; sweep++) {
      for (const waiting of context.deadlines.room.sweep()) waiting.onRoomDeadline()
    }
    assert.strictEqual(seen.dropped, 1)
    assert.isTrue(other.transport.reading)
    assert.strictEqual(context.deadlines.frame.size, 1)
    assert.strictEqual(context.budget.room, 20)
    other.connection.onBytes(frame("y".repeat(80)).subarray(10, 50))
    other.connection.onBytes(frame("y".repeat(80)).subarray(50))
    assert.strictEqual(context.deadlines.frame.size, 0)
    assert.lengthOf(turns, 1)
    other.connection.onBytes(frame("small"))
    assert.strictEqual(textOf(other.owner.frame), "small")
    connection.endTurn()
    other.connection.endTurn()
    assert.strictEqual(context.budget.room, 100)
  })

  it("gives the frame behind a dropped one its own time, also when answers wait for the peer", () => {
    const { connection, context, open } = make("bets", 100)
    const other = open()
    other.owner.tellable = true
    connection.onBytes(frame("x".repeat(80)))
    other.connection.onBytes(frame("y".repeat(80)).subarray(0, 10))
    other.transport.unsent = 10
    for (let sweep = 0; sweep < 9; sweep++) {
      for (const waiting of context.deadlines.room.sweep()) waiting.onRoomDeadline()
    }
    assert.strictEqual(context.deadlines.answers.size, 1)
    other.transport.unsent = 0
    other.transport.onSent?.()
    assert.strictEqual(context.deadlines.answers.size, 0)
    assert.strictEqual(context.deadlines.frame.size, 1)
    other.connection.onBytes(frame("y".repeat(80)).subarray(10))
    assert.strictEqual(context.deadlines.frame.size, 0)
  })

  it("sets no deadline for room to a client that can't be told: it waits", () => {
    const { connection, context, open } = make("bets", 100)
    const other = open()
    connection.onBytes(frame("x".repeat(80)))
    other.connection.onBytes(frame("y".repeat(80)))
    assert.strictEqual(context.deadlines.room.size, 0)
    connection.endTurn()
    assert.strictEqual(textOf(other.owner.frame), "y".repeat(80))
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
    assert.strictEqual(context.deadlines.frame.size, 0)
    connection.onBytes(frame("hello").subarray(0, 2))
    assert.strictEqual(context.deadlines.frame.size, 1)
    connection.onBytes(frame("hello").subarray(2))
    assert.strictEqual(context.deadlines.frame.size, 0)
  })

  it("gives no further turn to a peer that doesn't read its answers", () => {
    const { connection, context, transport, turns } = make()
    connection.onBytes(frame("first"))
    connection.onBytes(frame("second"))
    transport.unsent = 10
    connection.endTurn()
    assert.strictEqual(turns.length, 1)
    assert.strictEqual(context.deadlines.answers.size, 1)
    transport.unsent = 0
    transport.onSent?.()
    assert.strictEqual(turns.length, 2)
    assert.strictEqual(context.deadlines.answers.size, 0)
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
    assert.strictEqual(context.deadlines.linger.size, 1)
    connection.onBytes(frame("late"))
    assert.strictEqual(turns.length, 0)
    connection.onPeerEnd()
    assert.isTrue(transport.destroyed)
    connection.onGone()
    assert.deepEqual(closed, ["finished"])
    assert.strictEqual(context.deadlines.linger.size, 0)
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
  it("serves connections that wait in their order, however many one release serves", () => {
    const waiting = 20_000
    const { connection, context, open, turns } = make("bets", waiting * 2)
    const large = frame("x".repeat(100))
    context.budget.reserve({}, waiting * 2 - 100, () => {})
    connection.onBytes(large)
    const line = Array.from({ length: waiting }, () => open())
    for (const { connection: waiter } of line) waiter.onBytes(frame("y"))
    assert.deepStrictEqual(turns.map(({ connection: each }) => each), [connection])
    context.budget.release(waiting * 2 - 100)
    assert.lengthOf(turns, waiting + 1)
    const order = new Map(turns.map((owner, place) => [owner, place]))
    for (const [place, { owner }] of line.entries()) {
      assert.strictEqual(order.get(owner), place + 1)
    }
  })

  it("takes back the room of all that close as they are served", () => {
    const waiting = 5000
    const { connection, context, open } = make("bets", 100)
    connection.onBytes(frame("x".repeat(100)))
    const line = Array.from({ length: waiting }, () => open())
    for (const { connection: waiter } of line) {
      waiter.onBytes(frame("y".repeat(80)).subarray(0, 10))
      waiter.drain()
    }
    connection.endTurn()
    for (const { connection: waiter } of line) assert.isTrue(waiter.closing)
    assert.strictEqual(context.budget.room, 100)
  })

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
