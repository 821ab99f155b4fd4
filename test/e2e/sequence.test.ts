/** The numbered dialect: `seq`, RESUME, duplicates, and refusals that leave the connection open. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Central } from "../support/Central.ts"
import { FieldAgency } from "../support/FieldAgency.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { digestOf, sales } from "../support/Sales.ts"
import { Wire, type WireAnswer } from "../support/Wire.ts"

describe("a client that counts its chunks", () => {
  let central: Central
  const draw = "2026-11-24-nocturna"
  let lastAgency = 0
  /** Each test has an agency of its own; the draw never comes. */
  const newAgency = () => ++lastAgency

  beforeAll(async () => {
    central = await Central.start({ settings: { lottery: { agencies: 100, draw } } })
  })
  afterAll(() => central[Symbol.asyncDispose]())

  const stored = (agency: number) => {
    using ledger = new LedgerFile(central.ledgerPath)
    return ledger.betsOf(agency)
  }
  const connect = () => Wire.connect(central.betsPort)
  const chunk = (agency: number, seq: number, payload: ReadonlyArray<unknown>, last = false) => ({
    type_message: last ? 2 : 1,
    agency,
    seq,
    payload
  })
  const assertProcessed = (answer: WireAnswer, seq: number, duplicate = false, last = false) =>
    assert.deepStrictEqual(answer, {
      type_message: 1,
      payload: null,
      seq,
      ...(duplicate ? { duplicate: true } : {}),
      ...(last ? { draw } : {})
    })
  const assertRejected = (answer: WireAnswer, code: string, more: Record<string, unknown>) => {
    const { message, ...rest } = answer
    assert.isString(message)
    assert.deepStrictEqual(rest, { type_message: 3, payload: null, code, ...more })
  }

  it("gets its number back with each answer, and the close after the last", async () => {
    const id = newAgency()
    const bets = sales(id, 6)
    using wire = await connect()
    assertProcessed(await wire.ask(chunk(id, 1, bets.slice(0, 3))), 1)
    assertProcessed(await wire.ask(chunk(id, 2, [])), 2)
    assertProcessed(await wire.ask(chunk(id, 3, bets.slice(3), true)), 3, false, true)
    assert.deepStrictEqual(await wire.closed(), [])
    assert.deepStrictEqual(stored(id), bets)
  })

  it("gets its answers in order when it doesn't wait for them", async () => {
    const id = newAgency()
    const bets = sales(id, 40)
    using wire = await connect()
    for (let seq = 1; seq <= 40; seq++) wire.send(chunk(id, seq, bets.slice(seq - 1, seq)))
    for (let seq = 1; seq <= 40; seq++) assertProcessed(await wire.answer(), seq)
    assert.deepStrictEqual(stored(id), bets)
  })

  it("is told of a gap by the chunks behind a refused one", async () => {
    const id = newAgency()
    const bets = sales(id, 3)
    using wire = await connect()
    wire.send(chunk(id, 1, ["no bet"]))
    wire.send(chunk(id, 2, bets.slice(1, 2)))
    wire.send(chunk(id, 3, bets.slice(2, 3), true))
    assertRejected(await wire.answer(), "INVALID_BET", { seq: 1, index: 0 })
    assertRejected(await wire.answer(), "SEQUENCE_GAP", { seq: 2, expected_seq: 1 })
    assertRejected(await wire.answer(), "SEQUENCE_GAP", { seq: 3, expected_seq: 1 })
    assertProcessed(await wire.ask(chunk(id, 1, bets.slice(0, 1))), 1)
    assert.deepStrictEqual(stored(id), bets.slice(0, 1))
  })

  it("is told of a duplicate, which is stored once", async () => {
    const id = newAgency()
    const bets = sales(id, 4)
    using wire = await connect()
    wire.send(chunk(id, 1, bets))
    wire.send(chunk(id, 1, bets))
    assertProcessed(await wire.answer(), 1)
    assertProcessed(await wire.answer(), 1, true)
    using other = await connect()
    assertProcessed(await other.ask(chunk(id, 1, bets)), 1, true)
    assert.deepStrictEqual(stored(id), bets)
  })

  it("is told of a duplicate when the same bets come in the other shape of an item", async () => {
    const id = newAgency()
    const bets = sales(id, 4)
    using wire = await connect()
    assertProcessed(await wire.ask(chunk(id, 1, bets)), 1)
    assertProcessed(await wire.ask(chunk(id, 1, bets.map((bet) => bet.split(",")))), 1, true)
  })

  it("may write names that hold commas as an item of five strings", async () => {
    const id = newAgency()
    using wire = await connect()
    const item = ["Santiago Lionel", "Lorca, hijo", "30904465", "1999-03-17", "2201"]
    assertProcessed(await wire.ask(chunk(id, 1, [item])), 1)
    assert.deepStrictEqual(stored(id), ["Santiago Lionel,Lorca, hijo,30904465,1999-03-17,2201"])
  })

  it("is refused another chunk under a stored number with SEQUENCE_CONFLICT", async () => {
    const id = newAgency()
    const bets = sales(id, 4)
    using wire = await connect()
    assertProcessed(await wire.ask(chunk(id, 1, bets)), 1)
    assertRejected(await wire.ask(chunk(id, 1, bets.slice(1))), "SEQUENCE_CONFLICT", { seq: 1 })
    assertRejected(await wire.ask(chunk(id, 1, bets, true)), "SEQUENCE_CONFLICT", { seq: 1 })
    assertProcessed(await wire.ask(chunk(id, 2, [])), 2)
    assert.deepStrictEqual(stored(id), bets)
  })

  it("is refused a gap with SEQUENCE_GAP and the number that comes next", async () => {
    const id = newAgency()
    const bets = sales(id, 4)
    using wire = await connect()
    assertRejected(await wire.ask(chunk(id, 2, bets)), "SEQUENCE_GAP", { seq: 2, expected_seq: 1 })
    assertProcessed(await wire.ask(chunk(id, 1, bets)), 1)
    assertRejected(await wire.ask(chunk(id, 9, [])), "SEQUENCE_GAP", { seq: 9, expected_seq: 2 })
    assert.deepStrictEqual(stored(id), bets)
  })

  it("is refused an invalid bet with its index, nothing of the chunk is stored, and it stays open", async () => {
    const id = newAgency()
    const bets = sales(id, 4)
    using wire = await connect()
    for (
      const invalid of [
        "Ana,Lorca,30904465,2001-02-29,5",
        "Ana,Lorca,30904465,2001-02-28,10000",
        "Ana,Lorca,30 904,2001-02-28,5",
        ",Lorca,30904465,2001-02-28,5",
        "Ana,Lorca,30904465,2001-02-28",
        ["Ana", "Lor\tca", "30904465", "2001-02-28", "5"],
        5
      ]
    ) {
      const answer = await wire.ask(chunk(id, 1, [...bets, invalid, ...bets]))
      assertRejected(answer, "INVALID_BET", { seq: 1, index: 4 })
      assert.notInclude(JSON.stringify(answer), "Lorca")
      assert.notInclude(JSON.stringify(answer), "30904465")
    }
    assertProcessed(await wire.ask(chunk(id, 1, bets)), 1)
    assert.deepStrictEqual(stored(id), bets)
  })

  it("is refused new chunks after its last with AGENCY_FINISHED", async () => {
    const id = newAgency()
    const bets = sales(id, 4)
    using first = await connect()
    assertProcessed(await first.ask(chunk(id, 1, bets, true)), 1, false, true)
    using second = await connect()
    assertRejected(await second.ask(chunk(id, 2, bets)), "AGENCY_FINISHED", { seq: 2 })
    assertProcessed(await second.ask(chunk(id, 1, bets, true)), 1, true, true)
    assert.deepStrictEqual(await second.closed(), [])
    assert.deepStrictEqual(stored(id), bets)
  })

  it("is refused another agency's chunk with AGENCY_MISMATCH and stays open", async () => {
    const [id, other] = [newAgency(), newAgency()]
    using wire = await connect()
    assertProcessed(await wire.ask(chunk(id, 1, sales(id, 2))), 1)
    assertRejected(await wire.ask(chunk(other, 1, sales(other, 2))), "AGENCY_MISMATCH", { seq: 1 })
    assertProcessed(await wire.ask(chunk(id, 2, [])), 2)
    assert.deepStrictEqual(stored(other), [])
  })

  it("learns with RESUME where it got to, and goes on there with another chunk size", async () => {
    const id = newAgency()
    const bets = sales(id, 30)
    using first = await connect()
    assert.deepStrictEqual(await first.ask({ type_message: 4, agency: id }), {
      type_message: 4,
      seq: 0,
      bets: 0,
      digest: digestOf(id, []),
      finished: false,
      draw
    })
    assertProcessed(await first.ask(chunk(id, 1, bets.slice(0, 10))), 1)
    assertProcessed(await first.ask(chunk(id, 2, bets.slice(10, 13))), 2)
    first.vanish()
    using second = await connect()
    assert.deepStrictEqual(await second.ask({ type_message: "4", agency: String(id) }), {
      type_message: 4,
      seq: 2,
      bets: 13,
      digest: digestOf(id, bets.slice(0, 13)),
      finished: false,
      draw
    })
    assertProcessed(await second.ask(chunk(id, 3, bets.slice(13), true)), 3, false, true)
    await second.closed()
    using third = await connect()
    assert.deepStrictEqual(await third.ask({ type_message: 4, agency: id }), {
      type_message: 4,
      seq: 3,
      bets: 30,
      digest: digestOf(id, bets),
      finished: true,
      draw
    })
  })

  it("is told the draw's name with RESUME and its last chunk; a client without seq is not", async () => {
    const [id, other] = [newAgency(), newAgency()]
    using wire = await connect()
    assert.include(await wire.ask({ type_message: 4, agency: id }), { draw })
    assertProcessed(await wire.ask(chunk(id, 1, sales(id, 1))), 1)
    assertProcessed(await wire.ask(chunk(id, 2, [], true)), 2, false, true)
    using again = await connect()
    assertProcessed(await again.ask(chunk(id, 2, [], true)), 2, true, true)
    using field = await connect()
    field.send({ type_message: 1, agency: other, payload: sales(other, 1) })
    field.send({ type_message: 2, agency: other, payload: [] })
    const processed = { type_message: 1, payload: null }
    assert.deepStrictEqual([await field.answer(), await field.answer()], [processed, processed])
  })

  it("digests names with commas and quotes as the bet file has them", async () => {
    const id = newAgency()
    using wire = await connect()
    const item = ["Ana \"la Negra\"", "Lorca, hijo", "30904465", "1999-03-17", "0007"]
    assertProcessed(await wire.ask(chunk(id, 1, [item])), 1)
    const line = `${id},"Ana ""la Negra""","Lorca, hijo",30904465,1999-03-17,0007\r\n`
    const { createHash } = await import("node:crypto")
    const { digest } = await wire.ask({ type_message: 4, agency: id })
    assert.strictEqual(digest, createHash("sha256").update(line).digest("hex"))
  })

  it("may count where an agency that doesn't has begun", async () => {
    const id = newAgency()
    const bets = sales(id, 20)
    using field = await FieldAgency.open(central, id)
    await field.sendBets(bets.slice(0, 10), 5, false)
    using wire = await connect()
    assertProcessed(await wire.ask(chunk(id, 2, bets.slice(5, 10))), 2, true)
    assertProcessed(await wire.ask(chunk(id, 3, bets.slice(10))), 3)
    assert.deepStrictEqual(stored(id), bets)
  })

  it("is taken over by a newer connection of its agency at that one's first message", async () => {
    const id = newAgency()
    const bets = sales(id, 20)
    using older = await connect()
    assertProcessed(await older.ask(chunk(id, 1, bets.slice(0, 10))), 1)
    using newer = await connect()
    assert.isTrue(older.open, "connecting alone takes nothing over")
    const point = await newer.ask({ type_message: 4, agency: id })
    assert.strictEqual(point["bets"], 10)
    assert.deepStrictEqual(await older.closed(), [])
    assertProcessed(await newer.ask(chunk(id, 2, bets.slice(10))), 2)
    assert.deepStrictEqual(stored(id), bets)
  })

  it("never has two connections' chunks mixed: what the older one got answered is stored, the rest is dropped", async () => {
    const id = newAgency()
    const bets = sales(id, 60)
    using older = await connect()
    for (let seq = 1; seq <= 60; seq++) older.send(chunk(id, seq, bets.slice(seq - 1, seq)))
    assertProcessed(await older.answer(), 1)
    using newer = await connect()
    const point = await newer.ask({ type_message: 4, agency: id })
    const got = Number(point["bets"])
    const answered = 1 + (await older.closed()).length
    assert.isAtLeast(got, answered)
    assert.strictEqual(point["digest"], digestOf(id, bets.slice(0, got)))
    assertProcessed(await newer.ask(chunk(id, got + 1, bets.slice(got))), got + 1)
    assert.deepStrictEqual(stored(id), bets)
  })
})
