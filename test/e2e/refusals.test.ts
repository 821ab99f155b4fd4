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

describe("the log of a central for three agencies", () => {
  const central = () =>
    Central.start({
      agencies: 3,
      settings: { connections: { frameBytesMax, frameDeadlineMs: 300, max: 20 } }
    })
  const item = "Ana,Lorca,30904465,2001-02-29,5"
  const waitsFor = (agency: number, missing: string) =>
    `missing: ${missing} | detail: the draw waits for agency ${agency}, whose client doesn't report this: `
    + "fix the cause and start it again"
  const ifMissing =
    "missing: 1, 2, 3 | detail: if it is one of the missing agencies, the draw waits for it"
  const bets = "door: bets | ip: 127.0.0.1"
  const consult = "door: consult | ip: 127.0.0.1"

  /** Sends it, waits for the close, and gives the warnings that were logged of it. */
  const warningsOf = async (
    server: Central,
    port: number,
    send: (wire: Wire) => void
  ): Promise<ReadonlyArray<string>> => {
    const before = warnings(server).length
    using wire = await Wire.connect(port)
    send(wire)
    await wire.closed()
    await server.waitUntil("a warning", () => warnings(server).length > before)
    return warnings(server).slice(before)
  }
  const warnings = (server: Central): ReadonlyArray<string> =>
    server.log.split("\n").flatMap((line) => / WARNING +(.*)$/.exec(line)?.[1] ?? [])

  it("has one WARNING of each refusal: the door, the address, the agency that was claimed, the code, and whom the draw waits for", async () => {
    await using server = await central()
    const received = "action: apuesta_recibida | result: fail | cantidad:"
    const onBets: ReadonlyArray<readonly [(wire: Wire) => void, string]> = [
      [
        (wire) => wire.sendBytes([0, 1, 0, 1]),
        `${received} 0 | code: FRAME_TOO_LARGE | bytes: 65537 | ${bets} | ${ifMissing}`
      ],
      [
        (wire) => wire.sendBytes([0, 0, 0, 0]),
        `${received} 0 | code: FRAME_EMPTY | ${bets} | ${ifMissing}`
      ],
      [
        (wire) => wire.sendBytes([0, 0, 0, 9, 0x7b]),
        `${received} 0 | code: TIMEOUT | ${bets} | ${ifMissing}`
      ],
      [
        (wire) => wire.send({ type_message: "3", agency: "2", payload: null }),
        `${received} 0 | agencia: 2 | code: WRONG_PORT | ${bets} | ${waitsFor(2, "1, 2, 3")}`
      ],
      [
        (wire) => wire.send("{"),
        `${received} 0 | code: INVALID_MESSAGE | ${bets} | ${ifMissing}`
      ],
      [
        (wire) => wire.send({ type_message: "1", agency: "3" }),
        `${received} 0 | agencia: 3 | code: INVALID_MESSAGE | ${bets} | ${waitsFor(3, "1, 2, 3")}`
      ],
      [
        (wire) => wire.send({ type_message: "2", agency: "1", payload: [...sales(1, 2), item] }),
        `${received} 0 | agencia: 1 | code: INVALID_BET | index: 2 | ${bets} | ${
          waitsFor(1, "1, 2, 3")
        }`
      ],
      [
        (wire) => wire.send({ type_message: "1", agency: "9", payload: sales(9, 2) }),
        `${received} 2 | agencia: 9 | code: UNKNOWN_AGENCY | ${bets}`
      ],
      [
        (wire) => {
          wire.send({ type_message: "1", agency: "2", payload: [] })
          wire.send({ type_message: "1", agency: "3", payload: sales(3, 2) })
        },
        `${received} 2 | agencia: 2 | code: AGENCY_MISMATCH | claimed: 3 | ${bets} | ${
          waitsFor(2, "1, 2, 3")
        }`
      ]
    ]
    for (const [send, line] of onBets) {
      assert.deepStrictEqual(await warningsOf(server, server.betsPort, send), [line])
    }
    const asked = "action: consulta_recibida | result: fail |"
    const onConsult: ReadonlyArray<readonly [(wire: Wire) => void, string]> = [
      [
        (wire) => wire.sendBytes([0, 2, 0, 1]),
        `${asked} code: FRAME_TOO_LARGE | bytes: 131073 | ${consult}`
      ],
      [(wire) => wire.sendBytes([0, 0, 0, 0]), `${asked} code: FRAME_EMPTY | ${consult}`],
      [(wire) => wire.sendBytes([0, 0, 0, 9, 0x7b]), `${asked} code: TIMEOUT | ${consult}`],
      [
        (wire) => wire.send({ type_message: "1", agency: "2", payload: sales(2, 3) }),
        `${asked} agencia: 2 | code: WRONG_PORT | ${consult}`
      ],
      [
        (wire) => wire.send({ type_message: 9, agency: 2 }),
        `${asked} agencia: 2 | code: INVALID_MESSAGE | ${consult}`
      ],
      [
        (wire) => wire.send({ type_message: 3, agency: 7 }),
        `${asked} agencia: 7 | code: UNKNOWN_AGENCY | ${consult}`
      ]
    ]
    for (const [send, line] of onConsult) {
      assert.deepStrictEqual(await warningsOf(server, server.consultPort, send), [line])
    }
    assert.notMatch(server.log, /Lorca|30904465|2001-02-29/)
  })

  it("says that the draw waits for an agency whose last chunk is too large, and that all others wait with it", async () => {
    await using server = await central()
    for (const agency of ["1", "3"]) {
      using wire = await Wire.connect(server.betsPort)
      await wire.ask({ type_message: "2", agency, payload: sales(Number(agency), 2) })
    }
    using waiting = await Wire.connect(server.consultPort)
    waiting.send({ type_message: "3", agency: "1", payload: null })
    const [line] = await warningsOf(server, server.betsPort, (wire) => {
      wire.send({ type_message: "1", agency: "2", payload: sales(2, 2) })
      wire.send({ type_message: "2", agency: "2", payload: sales(2, 2000) })
    })
    assert.match(
      line ?? "",
      /^action: apuesta_recibida \| result: fail \| cantidad: 0 \| agencia: 2 \| code: FRAME_TOO_LARGE \| bytes: \d+ \|/
    )
    assert.isTrue(line?.endsWith(waitsFor(2, "2")))
    // It is mended and started again from the top of its file, as the line says.
    using again = await Wire.connect(server.betsPort)
    await again.ask({ type_message: "1", agency: "2", payload: sales(2, 1000) })
    await again.ask({ type_message: "2", agency: "2", payload: [] })
    assert.strictEqual((await waiting.answer()).type_message, 2)
  })

  it("says of each port when there are as many connections as may be", async () => {
    await using server = await central()
    const wires = await Promise.all(
      Array.from({ length: 20 }, () => Wire.connect(server.consultPort))
    )
    await server.waitUntil(
      "all taken in",
      () => server.lines("action: accept_connections").length === wires.length
    )
    const [atBets] = await warningsOf(server, server.betsPort, () => {})
    assert.strictEqual(
      atBets,
      `action: apuesta_recibida | result: fail | cantidad: 0 | code: TOO_MANY_CONNECTIONS | ${bets} | ${ifMissing}`
    )
    const [atConsult] = await warningsOf(server, server.consultPort, () => {})
    assert.strictEqual(
      atConsult,
      `action: consulta_recibida | result: fail | code: TOO_MANY_CONNECTIONS | ${consult}`
    )
    for (const wire of wires) wire[Symbol.dispose]()
  })

  it("doesn't say that the draw waits for an agency that has finished, or whose client numbers its chunks", async () => {
    await using server = await central()
    {
      using wire = await Wire.connect(server.betsPort)
      await wire.ask({ type_message: 2, agency: "1", payload: sales(1, 2) })
    }
    const [finished] = await warningsOf(
      server,
      server.betsPort,
      (wire) => wire.send({ type_message: "1", agency: "1", payload: [item] })
    )
    assert.match(
      finished ?? "",
      /agencia: 1 \| code: INVALID_BET \| index: 0 \| door: bets \| ip: 127.0.0.1$/
    )
    using wire = await Wire.connect(server.betsPort)
    const answer = await wire.ask({ type_message: 2, agency: 2, seq: 1, payload: [item] })
    assert.strictEqual(answer["code"], "INVALID_BET")
    await server.waitUntil("its warning", () => warnings(server).length === 2)
    assert.match(warnings(server)[1] ?? "", /agencia: 2 \| code: INVALID_BET .*ip: 127.0.0.1$/)
    const [next] = await warningsOf(
      server,
      server.betsPort,
      (other) => other.send({ type_message: "2", agency: "2", payload: [item] })
    )
    assert.include(next, waitsFor(2, "2, 3"))
  })

  it("counts the lines of a flood that it leaves out, and still names each agency that the draw waits for", async () => {
    await using server = await central()
    using flood = await Wire.connect(server.betsPort)
    for (let chunk = 0; chunk < 40; chunk++) {
      const answer = await flood.ask({ type_message: 1, agency: 1, seq: 1, payload: [item] })
      assert.strictEqual(answer["code"], "INVALID_BET")
    }
    const [line] = await warningsOf(
      server,
      server.betsPort,
      (wire) => wire.send({ type_message: "2", agency: "2", payload: [item] })
    )
    assert.include(line, waitsFor(2, "1, 2, 3"))
    assert.lengthOf(server.lines("action: apuesta_recibida | result: fail"), 31)
    await server.stop()
    assert.deepStrictEqual(server.lines("action: refusals"), [
      "action: refusals | result: left_out | door: bets | code: INVALID_BET | cantidad: 10"
    ])
  })

  it("doesn't fill with agencies that ask for their winners all night, and names the port that they come to", async () => {
    await using server = await central()
    {
      using seller = await Wire.connect(server.betsPort)
      await seller.ask({ type_message: "1", agency: "1", payload: [] })
    }
    for (let question = 0; question < 70; question++) {
      using wire = await Wire.connect(server.consultPort)
      const answer = await wire.ask({ type_message: 3, agency: 1, payload: null, wait: false })
      assert.strictEqual(answer.type_message, 5)
    }
    const line = "action: accept_connections | result: success | ip: 127.0.0.1"
    await server.stop()
    assert.deepStrictEqual(server.lines("action: accept_connections"), [
      line,
      ...Array.from({ length: 60 }, () => `${line} | door: consult`),
      "action: accept_connections | result: left_out | door: consult | cantidad: 10"
    ])
  })
})
