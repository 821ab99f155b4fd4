/** The consult port: who waits, who asks again, and how connections close. */
import { assert, describe, it } from "@effect/vitest"
import { Central } from "../support/Central.ts"
import { sales, winnersOf } from "../support/Sales.ts"
import { Wire } from "../support/Wire.ts"

const finish = async (central: Central, agency: number, payload: ReadonlyArray<string>) => {
  using wire = await Wire.connect(central.betsPort)
  assert.strictEqual((await wire.ask({ type_message: 2, agency, payload })).type_message, 1)
}

describe("consulting the winners", () => {
  it("with wait: false is told when to ask again before the draw, and the winners after it", async () => {
    await using central = await Central.start({ agencies: 2 })
    const bets = sales(1, 20, 2)
    await finish(central, 1, bets)
    using early = await Wire.connect(central.consultPort)
    const notReady = await early.ask({ type_message: 3, agency: 1, payload: null, wait: false })
    const { retry_after_ms: retryAfterMs, ...rest } = notReady
    assert.deepStrictEqual(rest, { type_message: 5, payload: null })
    assert.isTrue(Number.isInteger(retryAfterMs) && Number(retryAfterMs) > 0)
    assert.deepStrictEqual(await early.closed(), [])
    await finish(central, 2, [])
    const winners = await central.waitUntil("the draw", async () => {
      using late = await Wire.connect(central.consultPort)
      const answer = await late.ask({ type_message: 3, agency: 1, payload: null, wait: false })
      return answer.type_message === 2 && answer
    })
    assert.deepStrictEqual(winners, { type_message: 2, payload: winnersOf(bets).join(",") })
  })

  it("may be done by several connections of an agency, again and again", async () => {
    await using central = await Central.start({ agencies: 1 })
    const bets = sales(1, 9, 3)
    const ask = async () => {
      using wire = await Wire.connect(central.consultPort)
      const answer = await wire.ask({ type_message: "3", agency: "1", payload: null })
      assert.deepStrictEqual(await wire.closed(), [])
      return answer["payload"]
    }
    const waiting = [ask(), ask(), ask()]
    await finish(central, 1, bets)
    for (const payload of [...await Promise.all(waiting), await ask()]) {
      assert.strictEqual(payload, winnersOf(bets).join(","))
    }
  })

  it.each(["finish", "vanish"] as const)(
    "is over when the one who asked has left (%s), although the draw never came",
    async (leave) => {
      await using central = await Central.start({
        agencies: 1,
        settings: { connections: { max: 3 } }
      })
      const wires = await Promise.all([0, 1, 2].map(() => Wire.connect(central.consultPort)))
      for (const wire of wires) wire.send({ type_message: 3, agency: 1, payload: null })
      for (const wire of wires) wire[leave]()
      const answer = await central.waitUntil("room for a connection", async () => {
        using next = await Wire.connect(central.consultPort)
        const told = await next.ask({ type_message: 3, agency: 1, wait: false })
        return told["code"] !== "TOO_MANY_CONNECTIONS" && told
      })
      assert.strictEqual(answer.type_message, 5)
      for (const wire of wires) wire[Symbol.dispose]()
    }
  )
})

describe("a half-closed connection of the bets port", () => {
  it("still gets the answers to its whole frames, then the close", async () => {
    await using central = await Central.start({ agencies: 1 })
    using wire = await Wire.connect(central.betsPort)
    for (const bet of sales(1, 12)) wire.send({ type_message: 1, agency: "1", payload: [bet] })
    wire.sendBytes([0, 0, 1])
    wire.finish()
    const answers = await wire.closed()
    assert.deepStrictEqual(answers, sales(1, 12).map(() => ({ type_message: 1, payload: null })))
  })
})

describe("a central with exitWhenServed", () => {
  it("ends by itself, in good order, once every agency was told its winners", async () => {
    await using central = await Central.start({
      agencies: 2,
      settings: { lottery: { exitWhenServed: true } }
    })
    await finish(central, 1, sales(1, 5, 1))
    await finish(central, 2, [])
    for (const agency of [1, 1, 2]) {
      assert.isTrue(central.running)
      using wire = await Wire.connect(central.consultPort)
      assert.strictEqual((await wire.ask({ type_message: 3, agency })).type_message, 2)
    }
    assert.strictEqual((await central.ended()).code, 0)
  })
})
