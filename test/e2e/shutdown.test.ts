/** Stopping, crashing and starting again: every acknowledged bet is stored once, and no process is left behind. */
import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { Central, projectFolder } from "../support/Central.ts"
import { FieldAgency } from "../support/FieldAgency.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { descendants, isAlive, waitUntilGone } from "../support/Processes.ts"
import { sale, sales, winnersOf } from "../support/Sales.ts"
import { waitUntil, within } from "../support/WaitUntil.ts"
import { Wire, type WireAnswer } from "../support/Wire.ts"

const chunkBets = 20

/** A second signal is one only when it comes so much later. */
const anotherSignal = async (): Promise<void> => {
  const since = performance.now()
  await waitUntil("the first signal's half second", () => performance.now() - since > 600)
}

/** A chunk that is in the hands of a parser which stands still keeps the shutdown waiting. */
const holdShutdown = async (central: Central): Promise<void> => {
  for (const pid of central.children) process.kill(pid, "SIGSTOP")
  const wire = await Wire.connect(central.betsPort)
  wire.send({ type_message: 1, agency: 1, seq: 1, payload: [] })
  // Whoever comes later is taken in later: the chunk has been read by then.
  using probe = await Wire.connect(central.consultPort)
  const asked = { type_message: 3, agency: 1, payload: null, wait: false }
  assert.include(await probe.ask(asked), { type_message: 5 })
}

/** An agency that sends chunk after chunk, several ahead of their answers, until its connection ends. */
class PouringAgency {
  readonly id: number
  answered = 0
  readonly #wire: Wire
  readonly #ended: Promise<void>

  private constructor(id: number, wire: Wire) {
    this.id = id
    this.#wire = wire
    this.#ended = this.#pour()
  }

  static async open(central: Central, id: number): Promise<PouringAgency> {
    return new PouringAgency(id, await Wire.connect(central.betsPort))
  }

  betAt(index: number): string {
    return sale(this.id, index)
  }

  async ended(): Promise<void> {
    await this.#ended
    this.#wire[Symbol.dispose]()
  }

  async #pour(): Promise<void> {
    for (let seq = 1; this.#wire.open; seq++) {
      const from = (seq - 1) * chunkBets
      const payload = Array.from({ length: chunkBets }, (_, index) => this.betAt(from + index))
      this.#wire.send({ type_message: 1, agency: this.id, seq, payload })
      if (seq - this.answered <= 16) continue
      const answer = await this.#wire.answer().catch(() => undefined)
      if (answer !== undefined) this.#note(answer)
    }
    for (const answer of await this.#wire.gone()) this.#note(answer)
  }

  #note(answer: WireAnswer): void {
    assert.deepStrictEqual(answer, { type_message: 1, payload: null, seq: this.answered + 1 })
    this.answered++
  }
}

const pour = async (central: Central, agencies: number): Promise<ReadonlyArray<PouringAgency>> => {
  const pouring = await Promise.all(
    Array.from({ length: agencies }, (_, index) => PouringAgency.open(central, index + 1))
  )
  await central.waitUntil(
    "chunks in flight from every agency",
    () => pouring.every(({ answered }) => answered >= 20)
  )
  return pouring
}

/** Every answered chunk is stored, and what is stored is what was sent: once each, in order. */
const assertStored = (central: Central, agency: PouringAgency): void => {
  using ledger = new LedgerFile(central.ledgerPath)
  const stored = ledger.betsOf(agency.id)
  assert.isAtLeast(stored.length, agency.answered * chunkBets, "answered, yet not stored")
  assert.deepStrictEqual(stored, stored.map((_, index) => agency.betAt(index)))
}

describe("a central that is started again", () => {
  it("goes on where it was: finished agencies stay finished, the rest can sell", async () => {
    await using central = await Central.start({ agencies: 2 })
    const [first, second] = [sales(1, 20, 2), sales(2, 20, 3)]
    using one = await FieldAgency.open(central, 1)
    await one.sendBets(first, 5, true)
    using two = await FieldAgency.open(central, 2)
    await two.sendBets(second.slice(0, 10), 5, false)
    assert.strictEqual((await central.stop()).code, 0)

    await central.start()
    using wire = await Wire.connect(central.betsPort)
    assert.include(await wire.ask({ type_message: 4, agency: 1 }), { finished: true, bets: 20 })
    using again = await FieldAgency.open(central, 2)
    assert.deepStrictEqual(await again.work(second, 10), {
      logged: 20,
      winners: winnersOf(second)
    })
    using oneAgain = await FieldAgency.open(central, 1)
    assert.deepStrictEqual(await oneAgain.work(first, 20), {
      logged: 20,
      winners: winnersOf(first)
    })
  })

  it("doesn't repeat a draw that was held, and serves its winners", async () => {
    await using central = await Central.start({ agencies: 1 })
    const bets = sales(1, 30, 4)
    using agency = await FieldAgency.open(central, 1)
    assert.deepStrictEqual(await agency.work(bets, 10), { logged: 30, winners: winnersOf(bets) })
    for (const end of ["stop", "kill"] as const) {
      await central[end]()
      await central.start()
      using again = await FieldAgency.open(central, 1)
      assert.deepStrictEqual(await again.consult(), winnersOf(bets))
      assert.deepStrictEqual(central.lines("action: sorteo"), [])
    }
  })

  it("refuses a ledger that began with another roster or winning number, with both values", async () => {
    await using central = await Central.start({ agencies: 2 })
    await central.stop()
    const refusals = [
      [{ agencies: 3 }, /ledger.* 2\b.* 3\b/],
      [{ agencies: 2, settings: { lottery: { winningNumber: 11 } } }, /ledger.* 7574\b.* 11\b/]
    ] as const
    for (const [options, named] of refusals) {
      await central.configure(options)
      await central.spawn()
      assert.strictEqual((await central.ended()).code, 78)
      assert.match(central.errors, named)
    }
    await central.configure({ agencies: 2 })
    await central.start()
  })
})

describe("SIGTERM", () => {
  it("while chunks are in flight ends the central with 0 within 2 s, and every answered bet is stored once", async () => {
    await using central = await Central.start({
      agencies: 8,
      settings: { parsers: { processes: 2 } }
    })
    const children = central.children
    assert.isAbove(children.length, 0)
    using waiting = await Wire.connect(central.consultPort)
    waiting.send({ type_message: 3, agency: 1, payload: null })
    using idle = await Wire.connect(central.betsPort)
    const pouring = await pour(central, 5)
    const ending = await central.stop("SIGTERM")
    assert.strictEqual(ending.code, 0, central.log.slice(-2000) + central.errors)
    assert.isBelow(ending.ms, 2000)
    await waitUntilGone(children, 500)
    assert.deepStrictEqual(await waiting.closed(), [])
    assert.deepStrictEqual(await idle.closed(), [])
    await Promise.all(pouring.map((agency) => agency.ended()))

    const signalled = central.log.indexOf(
      "action: signal_received | result: success | signal: SIGTERM"
    )
    for (const resource of ["bets_listener", "consult_listener", "ops_listener"]) {
      const line = `action: close_resource | result: success | resource: ${resource}`
      assert.isAbove(central.log.indexOf(line), signalled, line)
    }

    await central.start()
    for (const agency of pouring) assertStored(central, agency)
  })

  it("answers all that it stores, to an agency that waits for its answers", async () => {
    await using central = await Central.start({ agencies: 1 })
    const bets = sales(1, 300)
    using wire = await Wire.connect(central.betsPort)
    for (const [index, bet] of bets.entries()) {
      wire.send({ type_message: 1, agency: 1, seq: index + 1, payload: [bet] })
    }
    await wire.answer()
    assert.strictEqual((await central.stop()).code, 0)
    const answered = 1 + (await wire.closed()).length
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(1), bets.slice(0, answered))
  })

  it("answers the frames that it has read, and drops a partial one", async () => {
    await using central = await Central.start({ agencies: 1 })
    using wire = await Wire.connect(central.betsPort)
    const bets = sales(1, 3)
    assert.strictEqual(
      (await wire.ask({ type_message: 1, agency: 1, payload: bets }))["payload"],
      null
    )
    wire.sendBytes([0, 0, 0, 80, 0x7b])
    const ending = await central.stop("SIGTERM")
    assert.strictEqual(ending.code, 0)
    assert.deepStrictEqual(await wire.closed(), [])
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(1), bets)
  })

  it("SIGINT does the same", async () => {
    await using central = await Central.start({ agencies: 1 })
    const children = central.children
    assert.strictEqual((await central.stop("SIGINT")).code, 0)
    assert.lengthOf(central.lines("action: signal_received | result: success | signal: SIGINT"), 1)
    await waitUntilGone(children, 500)
  })

  it("a second one cuts it short with code 1, and leaves no child", async () => {
    await using central = await Central.start({ agencies: 1 })
    const children = central.children
    await holdShutdown(central)
    central.signal("SIGTERM")
    await central.waitForLine("action: signal_received")
    await anotherSignal()
    central.signal("SIGTERM")
    assert.strictEqual((await central.ended()).code, 1)
    await waitUntilGone(children)
  })

  it("twice at once, as of `timeout`, is one: the central ends with 0", async () => {
    await using central = await Central.start({
      agencies: 1,
      through: ["timeout", "--preserve-status", "600"]
    })
    // To itself, `timeout` hands it on to the program, and then sends it to the whole group.
    central.signal("SIGTERM")
    assert.strictEqual((await central.ended()).code, 0, central.log.slice(-1000))
    assert.lengthOf(central.lines("action: signal_received"), 1)
    assert.lengthOf(central.lines("action: shutdown | result: fail"), 0)
  })
})

describe("Ctrl-C under npm start", () => {
  it("reaches the central twice and is one signal: it ends with 0", async () => {
    await using central = await Central.prepare({ agencies: 1 })
    const npm = spawn("npm", ["start", "--", "--config", central.configPath], {
      cwd: projectFolder,
      // A group of its own, as a shell makes one for each command.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"]
    })
    const closed = once(npm, "close")
    let log = ""
    npm.stdout.setEncoding("utf8").on("data", (text: string) => (log += text))
    npm.stderr.setEncoding("utf8").on("data", (text: string) => (log += text))
    const all: Array<number> = []
    try {
      await waitUntil("ready", () => log.includes("action: ready"), 30_000)
      all.push(...descendants(npm.pid ?? 0))
      // As a terminal does; npm hands it on to the program besides.
      process.kill(-(npm.pid ?? 0), "SIGINT")
      await within("the end of npm", closed, 15_000)
      await waitUntilGone(all)
      assert.include(log, "resource: ledger", "closed in good order")
      assert.lengthOf(log.split("action: signal_received"), 2, log)
      assert.notInclude(log, "action: shutdown | result: fail")
      assert.strictEqual(npm.exitCode, 0, log)
    } finally {
      for (const pid of all.filter(isAlive)) process.kill(pid, "SIGKILL")
    }
  })
})

describe("other signals", () => {
  it("SIGHUP ends the central as SIGTERM does", async () => {
    await using central = await Central.start({ agencies: 1 })
    const children = central.children
    using wire = await Wire.connect(central.betsPort)
    assert.strictEqual((await central.stop("SIGHUP")).code, 0)
    assert.lengthOf(central.lines("action: signal_received | result: success | signal: SIGHUP"), 1)
    assert.lengthOf(central.lines("action: signal_received"), 1)
    assert.lengthOf(central.lines("action: close_resource | result: success | resource: ledger"), 1)
    assert.deepStrictEqual(await wire.closed(), [])
    await waitUntilGone(children, 500)
  })

  it("SIGUSR2 harms neither the central nor its parsers", async () => {
    await using central = await Central.start({
      agencies: 1,
      settings: { log: { level: "DEBUG" } }
    })
    const children = central.children
    central.signal("SIGUSR2")
    for (const pid of children) process.kill(pid, "SIGUSR2")
    await central.waitForLine("action: signal_received | result: ignored | signal: SIGUSR2")
    using wire = await Wire.connect(central.betsPort)
    const chunk = { type_message: 1, agency: 1, seq: 1, payload: sales(1, 3) }
    assert.include(await wire.ask(chunk), { type_message: 1, seq: 1 })
    assert.deepStrictEqual(central.children, children)
  })
})

describe("SIGKILL", () => {
  it("under load leaves no child, and every answered bet is stored once after the next start", async () => {
    await using central = await Central.start({
      agencies: 8,
      settings: { parsers: { processes: 2 } }
    })
    const children = central.children
    const pouring = await pour(central, 3)
    await central.kill()
    await waitUntilGone(children)
    await Promise.all(pouring.map((agency) => agency.ended()))
    await central.start()
    for (const agency of pouring) assertStored(central, agency)
    // It is no museum piece: the agencies go on where they were.
    using ledger = new LedgerFile(central.ledgerPath)
    const seq = ledger.seqs(1).length + 1
    using wire = await Wire.connect(central.betsPort)
    const answer = await wire.ask({ type_message: 1, agency: 1, seq, payload: [] })
    assert.deepStrictEqual(answer, { type_message: 1, payload: null, seq })
  })
})
