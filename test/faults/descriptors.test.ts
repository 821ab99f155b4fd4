/** Too few file descriptors, by real limits: fewer than connections, and none at all while the server runs. */
import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { readdirSync } from "node:fs"
import { Central } from "../support/Central.ts"
import { sales } from "../support/Sales.ts"
import { Wire } from "../support/Wire.ts"

const limited = (files: number) => ["prlimit", `--nofile=${files}:${files}`]

/** Of the running process. */
const setLimit = (pid: number, files: number): void => {
  execFileSync("prlimit", [`--pid=${pid}`, `--nofile=${files}:20000`])
}

const chunk = (seq: number) => ({ type_message: 1, agency: 1, seq, payload: sales(1, 2) })

describe("fewer descriptors than connections.max", () => {
  it("are named at the start, and connections are refused at what fits; all else works", async () => {
    const limit = 300
    await using central = await Central.start({ agencies: 2, through: limited(limit) })
    const [line = ""] = central.lines("action: descriptors | result: too_few")
    assert.include(line, `limit: ${limit} | connections_max: 16384 | connections: `)
    assert.match(line, /raise ulimit -n to \d+ or lower connections.max/)
    const fit = Number(/connections: (\d+)/.exec(line)?.[1])
    assert.isAbove(fit, 20)
    const wires = await Promise.all(
      Array.from({ length: fit }, () => Wire.connect(central.betsPort))
    )
    for (let beyond = 0; beyond < 20; beyond++) {
      using wire = await Wire.connect(central.betsPort)
      const answers = await wire.closed()
      assert.deepStrictEqual(answers.map(({ code }) => code), ["TOO_MANY_CONNECTIONS"])
    }
    const wire = wires[0] ?? assert.fail()
    assert.include(await wire.ask({ type_message: 4, agency: 1 }), { type_message: 4, seq: 0 })
    const [parser = 0] = central.children
    process.kill(parser, "SIGKILL")
    assert.include(await wire.ask(chunk(1)), { type_message: 1, seq: 1 })
    assert.lengthOf(central.lines("action: accept_connections | result: fail"), 0)
    for (const one of wires) one[Symbol.dispose]()
  })

  it("are not named where there are enough", async () => {
    await using central = await Central.start({
      settings: { connections: { max: 64 } },
      through: limited(300)
    })
    assert.lengthOf(central.lines("action: descriptors"), 0)
  })
})

describe("no descriptor left", () => {
  it(
    "ends nothing: stored bets are looked at, a parser that dies is replaced when it can be, and the log says so",
    async () => {
      await using central = await Central.start({ agencies: 1 })
      using wire = await Wire.connect(central.betsPort)
      assert.include(await wire.ask(chunk(1)), { type_message: 1, seq: 1 })
      // A new one gets the lowest number that is free, and the limit is one of numbers.
      const open = new Set(readdirSync(`/proc/${central.pid}/fd`).map(Number))
      let free = 0
      while (open.has(free)) free++
      setLimit(central.pid, free)
      await central.waitForLine("action: accept_connections | result: fail | problem: EMFILE")
      assert.include(await wire.ask({ type_message: 4, agency: 1 }), { type_message: 4, seq: 1 })
      // The system takes it in and closes it.
      using late = await Wire.connect(central.betsPort)
      await late.gone()
      const children = central.children
      for (const pid of children) process.kill(pid, "SIGKILL")
      await central.waitForLine("action: parser_replaced")
      wire.send(chunk(2))

      setLimit(central.pid, 20_000)
      assert.include(await wire.answer(30_000), { seq: 2, type_message: 1 })
      assert.lengthOf(central.children, children.length)
      using again = await Wire.connect(central.betsPort)
      assert.include(await again.ask({ type_message: 4, agency: 1 }), { type_message: 4, seq: 2 })
      assert.lengthOf(central.lines("action: accept_connections | result: fail"), 1)
      assert.strictEqual((await central.stop()).code, 0)
    }
  )
})
