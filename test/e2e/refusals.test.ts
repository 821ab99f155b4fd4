/** Messages and frames that are refused: each with its code, its close, and nothing stored. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Central } from "../support/Central.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { sales } from "../support/Sales.ts"
import { frame, Wire, type WireAnswer } from "../support/Wire.ts"

const frameBytesMax = 64 * 1024

describe("on a central for two agencies", () => {
  let central: Central

  beforeAll(async () => {
    central = await Central.start({
      agencies: 2,
      settings: { connections: { frameBytesMax, frameDeadlineMs: 300, max: 20 } }
    })
  })
  afterAll(() => central[Symbol.asyncDispose]())

  const bets = () => Wire.connect(central.betsPort)
  const consult = () => Wire.connect(central.consultPort)
  const only = (answers: ReadonlyArray<WireAnswer>): WireAnswer => {
    const [answer, ...others] = answers
    assert.deepStrictEqual(others, [])
    if (answer === undefined) throw new Error("closed without an answer")
    return answer
  }
  /** Exactly one refusal, then the close. */
  const assertRefused = async (wire: Wire, type: 3 | 6, code: string): Promise<WireAnswer> => {
    const answer = only(await wire.closed())
    assert.strictEqual(answer.type_message, type)
    assert.strictEqual(answer["code"], code)
    assert.strictEqual(answer["payload"], null)
    assert.isString(answer["message"])
    return answer
  }

  const ports = [["bets", bets], ["consult", consult]] as const

  it.each(ports)(
    "a frame above the limit is FRAME_TOO_LARGE on the %s port, before its body",
    async (_, open) => {
      using wire = await open()
      wire.sendBytes([0, 1, 0, 1])
      await assertRefused(wire, 6, "FRAME_TOO_LARGE")
    }
  )

  it.each(ports)(
    "a refusal on the %s port arrives although the client goes on sending",
    async (_, open) => {
      using wire = await open()
      wire.sendBytes([0, 0x40, 0, 0])
      wire.socket.write(new Uint8Array(4 * 1024 * 1024))
      await assertRefused(wire, 6, "FRAME_TOO_LARGE")
    }
  )

  it.each(ports)(
    "a length as of a stray HTTP request is FRAME_TOO_LARGE on the %s port",
    async (_, open) => {
      using wire = await open()
      wire.sendBytes(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
      await assertRefused(wire, 6, "FRAME_TOO_LARGE")
    }
  )

  it.each(ports)("an empty frame is FRAME_EMPTY on the %s port", async (_, open) => {
    using wire = await open()
    wire.sendBytes([0, 0, 0, 0])
    await assertRefused(wire, 6, "FRAME_EMPTY")
  })

  it.each(ports)("a frame that isn't ended in time is TIMEOUT on the %s port", async (_, open) => {
    using wire = await open()
    wire.sendBytes([0, 0, 0, 9, 0x7b])
    await assertRefused(wire, 6, "TIMEOUT")
  })

  it("a connection that never begins a frame may stay", async () => {
    using idle = await bets()
    using slow = await bets()
    slow.sendBytes([0])
    // The slow one's end shows that the deadline is over, for both.
    await assertRefused(slow, 6, "TIMEOUT")
    assert.isTrue(idle.open)
  })

  it("a frame at the limit is read", async () => {
    using wire = await bets()
    const message = JSON.stringify({ type_message: 1, agency: 1, seq: 1, payload: [] })
    const answer = await wire.ask(message.padEnd(frameBytesMax, " "))
    assert.strictEqual(answer.type_message, 1)
  })

  it("a consult on the bets port is WRONG_PORT", async () => {
    using wire = await bets()
    wire.send({ type_message: 3, agency: "1", payload: null })
    await assertRefused(wire, 6, "WRONG_PORT")
  })

  it.each([1, 2, 4])("message type %i on the consult port is WRONG_PORT", async (type) => {
    using wire = await consult()
    wire.send({ type_message: type, agency: 1, payload: [] })
    await assertRefused(wire, 6, "WRONG_PORT")
  })

  it("a thousand bets on the consult port are WRONG_PORT, and a key said twice is the last one there too", async () => {
    using wrong = await consult()
    wrong.send({ type_message: 1, agency: 1, payload: sales(1, 1000) })
    await assertRefused(wrong, 6, "WRONG_PORT")
    using twice = await consult()
    twice.send("{\"type_message\":1,\"type_message\":3,\"agency\":99,\"agency\":1,\"wait\":false}")
    assert.strictEqual(only(await twice.closed()).type_message, 5)
  })

  const noMessages = [
    ["not JSON", "type_message"],
    ["no object", "[1]"],
    ["without a type", "{}"],
    ["of an unknown type", "{\"type_message\": 9, \"agency\": 1, \"payload\": []}"],
    ["without an agency", "{\"type_message\": 1, \"payload\": []}"],
    ["of agency 0", "{\"type_message\": 1, \"agency\": \"0\", \"payload\": []}"],
    ["without a payload", "{\"type_message\": 1, \"agency\": 1}"]
  ] as const

  it.each(noMessages)(
    "a message that is %s is INVALID_MESSAGE on the bets port",
    async (_, text) => {
      using wire = await bets()
      wire.send(text)
      await assertRefused(wire, 3, "INVALID_MESSAGE")
    }
  )

  it("a message that is not UTF-8 is INVALID_MESSAGE on the bets port", async () => {
    using wire = await bets()
    const bytes = frame("{\"type_message\": 1, \"agency\": 1, \"payload\": [\"?\"]}")
    bytes[bytes.indexOf(0x3f)] = 0xff
    wire.sendBytes(bytes)
    await assertRefused(wire, 3, "INVALID_MESSAGE")
  })

  it.each(noMessages.slice(0, 4))(
    "a message that is %s is INVALID_MESSAGE on the consult port",
    async (_, text) => {
      using wire = await consult()
      wire.send(text)
      await assertRefused(wire, 6, "INVALID_MESSAGE")
    }
  )

  it("an agency outside the roster is UNKNOWN_AGENCY on both ports", async () => {
    using seller = await bets()
    seller.send({ type_message: 1, agency: "3", payload: sales(3, 2) })
    await assertRefused(seller, 3, "UNKNOWN_AGENCY")
    using asker = await consult()
    asker.send({ type_message: 3, agency: "3", payload: null })
    await assertRefused(asker, 6, "UNKNOWN_AGENCY")
  })

  it("an invalid bet without seq is answered with its index and closed at once: nothing after it is stored", async () => {
    using wire = await bets()
    const item = "Ana,Lorca,30904465,2001-02-29,5"
    wire.send({ type_message: 1, agency: "2", payload: [...sales(2, 3), item] })
    wire.send({ type_message: 2, agency: "2", payload: sales(2, 3) })
    const answer = await assertRefused(wire, 3, "INVALID_BET")
    assert.strictEqual(answer["index"], 3)
    assert.notInclude(JSON.stringify(answer), "Lorca")
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(2), [])
    assert.deepStrictEqual(ledger.seqs(2), [])
  })

  it("another agency's message without seq is AGENCY_MISMATCH and closed", async () => {
    using wire = await bets()
    const first = await wire.ask({ type_message: 1, agency: "2", payload: [] })
    assert.strictEqual(first.type_message, 1)
    wire.send({ type_message: 1, agency: "1", payload: sales(1, 2) })
    await assertRefused(wire, 3, "AGENCY_MISMATCH")
  })

  it("a connection beyond the limit is TOO_MANY_CONNECTIONS, and there is room again after others left", async () => {
    const wires = await Promise.all(Array.from({ length: 40 }, consult))
    const refused = await central.waitUntil("a refusal", () => wires.find((wire) => !wire.open))
    await assertRefused(refused, 6, "TOO_MANY_CONNECTIONS")
    for (const wire of wires) wire[Symbol.dispose]()
    await central.waitUntil("room for a connection", async () => {
      using next = await consult()
      const answer = await next.ask({ type_message: 3, agency: 1, wait: false })
      return answer.type_message === 5
    })
  })
})
