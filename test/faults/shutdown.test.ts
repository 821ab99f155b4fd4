/**
 * SIGTERM in moments that test/e2e/shutdown.test.ts doesn't reach. Each time: the exit code as documented, in time, no
 * child left, and after the next start everything that was answered, once.
 */
import { assert, describe, it } from "@effect/vitest"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { connect, type Socket } from "node:net"
import { DatabaseSync } from "node:sqlite"
import { Central, type Ending, projectFolder } from "../support/Central.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { descendants, isAlive, waitUntilGone } from "../support/Processes.ts"
import { sale, sales, winnersOf } from "../support/Sales.ts"
import { waitUntil, within } from "../support/WaitUntil.ts"
import { Wire } from "../support/Wire.ts"

const signalled = "action: signal_received"
const chunkBets = 10
/** Well before the grace period ends: nothing has to be waited for that doesn't come. Tests run side by side here. */
const soonMs = 5000

const chunkOf = (agency: number, seq: number, type = 1) => ({
  type_message: type,
  agency,
  seq,
  payload: Array.from(
    { length: chunkBets },
    (_, index) => sale(agency, (seq - 1) * chunkBets + index)
  )
})

/** Numbering clients, each with a connection on which chunk 1 was acknowledged. */
const sellers = async (central: Central, count: number): Promise<ReadonlyArray<Wire>> =>
  Promise.all(Array.from({ length: count }, async (_, index) => {
    const wire = await Wire.connect(central.betsPort)
    assert.strictEqual((await wire.ask(chunkOf(index + 1, 1))).type_message, 1)
    return wire
  }))

/** Each agency's chunks up to its `seq` are stored once and in order, and no others. */
const assertHolds = (central: Central, seqs: ReadonlyArray<number>): void => {
  using ledger = new LedgerFile(central.ledgerPath)
  for (const [index, seq] of seqs.entries()) {
    const bets = Array.from({ length: seq * chunkBets }, (_, at) => sale(index + 1, at))
    assert.deepStrictEqual(ledger.betsOf(index + 1), bets, `agency ${index + 1}`)
  }
}

const assertEnded = async (
  ending: Ending,
  code: number,
  withinMs: number,
  children: ReadonlyArray<number>
): Promise<void> => {
  assert.strictEqual(ending.code, code)
  assert.isBelow(ending.ms, withinMs)
  await waitUntilGone(children, 1000)
}

/** The central goes on where it was: each agency's next chunk is stored. */
const assertGoesOn = async (central: Central, seqs: ReadonlyArray<number>): Promise<void> => {
  await central.start()
  for (const [index, seq] of seqs.entries()) {
    using wire = await Wire.connect(central.betsPort)
    assert.include(await wire.ask({ type_message: 4, agency: index + 1 }), { seq })
    assert.include(await wire.ask(chunkOf(index + 1, seq + 1)), { type_message: 1, seq: seq + 1 })
  }
  assertHolds(central, seqs.map((seq) => seq + 1))
}

/** Children that hold what they were given, until they are continued. */
const held = (central: Central): { readonly pids: ReadonlyArray<number>; go: () => void } => {
  const pids = central.children
  for (const pid of pids) process.kill(pid, "SIGSTOP")
  return {
    pids,
    go: () => {
      for (const pid of pids) process.kill(pid, "SIGCONT")
    }
  }
}

/** Sends the next chunk of each, and waits until the central has read them. */
const sendNext = async (central: Central, wires: ReadonlyArray<Wire>): Promise<void> => {
  // An answer on a connection that came later shows that what was sent before it was read.
  for (const [index, wire] of wires.entries()) wire.send(chunkOf(index + 1, 2))
  using probe = await Wire.connect(central.consultPort)
  assert.strictEqual(
    (await probe.ask({ type_message: 3, agency: 1, wait: false })).type_message,
    5
  )
}

describe("SIGTERM while connections come", () => {
  it("ends the central with 0: each of them is closed or refused, and so are half frames and consults that wait", async () => {
    await using central = await Central.start({ agencies: 2 })
    const children = central.children
    const [seller, other] = await sellers(central, 2)
    other?.sendBytes([0, 0, 0, 99, 0x7b])
    const consults = await Promise.all(
      Array.from({ length: 60 }, () => Wire.connect(central.consultPort))
    )
    for (const wire of consults) wire.send({ type_message: 3, agency: 1, payload: null })
    const { betsPort } = central
    const load = { over: false }
    let refused = 0
    const ends: Array<Promise<unknown>> = []
    const burst = async (): Promise<void> => {
      while (!load.over) {
        const socket: Socket = connect({ host: "127.0.0.1", port: betsPort })
        socket.on("error", () => refused++).resume()
        ends.push(new Promise((resolve) => socket.once("close", resolve)))
        await Promise.race([once(socket, "connect"), once(socket, "close")]).catch(() => {})
      }
    }
    const bursts = Array.from({ length: 8 }, burst)
    await central.waitUntil(
      "a burst",
      () => central.lines("action: accept_connections").length > 150
    )
    const ending = await central.stop()
    await waitUntil("refused connections", () => refused > 0)
    load.over = true
    await Promise.all(bursts)
    await within("the connections' ends", Promise.all(ends))
    await assertEnded(ending, 0, soonMs, children)
    for (const wire of [...consults, ...(seller === undefined ? [] : [seller])]) {
      assert.deepStrictEqual(await wire.closed(), [])
    }
    await assertGoesOn(central, [1, 1])
  })
})

describe.concurrent("SIGTERM while the parsers hold chunks", () => {
  it("stores and answers them all when the parsers go on", async () => {
    await using central = await Central.start({
      agencies: 6,
      settings: { parsers: { processes: 2 } }
    })
    const wires = await sellers(central, 6)
    const parsers = held(central)
    await sendNext(central, wires)
    central.signal("SIGTERM")
    await central.waitForLine(signalled)
    await central.waitForLine("action: close_resource | result: success | resource: bets_listener")
    assert.isTrue(central.running)
    parsers.go()
    await assertEnded(await central.ended(), 0, soonMs, parsers.pids)
    for (const wire of wires) {
      assert.deepStrictEqual(await wire.closed(), [{ type_message: 1, payload: null, seq: 2 }])
    }
    await assertGoesOn(central, wires.map(() => 2))
  })

  it("ends with 0 within the grace period when they never go on: nothing was answered, nothing is stored", async () => {
    const graceMs = 4000
    await using central = await Central.start({
      agencies: 3,
      settings: { parsers: { processes: 2 }, shutdown: { graceMs } }
    })
    const wires = await sellers(central, 3)
    const parsers = held(central)
    await sendNext(central, wires)
    await assertEnded(await central.stop(), 0, graceMs, parsers.pids)
    for (const wire of wires) assert.deepStrictEqual(await wire.gone(), [])
    assertHolds(central, [1, 1, 1])
    await assertGoesOn(central, [1, 1, 1])
  })

  it.each(["a second signal", "the end of the grace period"] as const)(
    "ends with 1 at %s, and takes children with it that don't end by themselves",
    async (reason) => {
      const graceMs = reason === "a second signal" ? 8000 : 700
      await using central = await Central.start({
        agencies: 2,
        settings: { parsers: { processes: 2 }, shutdown: { graceMs } }
      })
      const wires = await sellers(central, 2)
      const parsers = held(central)
      try {
        await sendNext(central, wires)
        central.signal("SIGTERM")
        await central.waitForLine(signalled)
        if (reason === "a second signal") {
          await anotherSignal()
          central.signal("SIGTERM")
        }
        await assertEnded(await central.ended(), 1, graceMs + 1500, parsers.pids)
      } finally {
        for (const pid of parsers.pids.filter(isAlive)) process.kill(pid, "SIGKILL")
      }
      for (const wire of wires) assert.deepStrictEqual(await wire.gone(), [])
      await assertGoesOn(central, [1, 1])
    }
  )
})

describe.concurrent("SIGTERM while the ledger can't be written", () => {
  it("stores and answers what waits when it can in time", async () => {
    await using central = await Central.start({ agencies: 2 })
    const wires = await sellers(central, 2)
    using other = new DatabaseSync(central.ledgerPath)
    other.exec("BEGIN IMMEDIATE")
    // Without seq: such a chunk waits for the ledger.
    for (const [index, wire] of wires.entries()) {
      const { seq: _, ...chunk } = chunkOf(index + 1, 2)
      wire.send(chunk)
    }
    await central.waitUntil(
      "chunks before the commit",
      () => central.lines("action: apuesta_recibida | result: success").length === 4
    )
    central.signal("SIGTERM")
    await central.waitForLine(signalled)
    other.exec("ROLLBACK")
    assert.strictEqual((await central.ended()).code, 0)
    for (const wire of wires) {
      assert.deepStrictEqual(await wire.closed(), [{ type_message: 1, payload: null }])
    }
    await assertGoesOn(central, [2, 2])
  })

  it("ends within the grace period when it never can: what wasn't stored wasn't answered", async () => {
    const graceMs = 3000
    await using central = await Central.start({ agencies: 1, settings: { shutdown: { graceMs } } })
    const [wire] = await sellers(central, 1)
    const children = central.children
    {
      using other = new DatabaseSync(central.ledgerPath)
      other.exec("BEGIN IMMEDIATE")
      wire?.send({ type_message: 1, agency: 1, payload: chunkOf(1, 2).payload })
      await central.waitUntil(
        "a chunk before the commit",
        () => central.lines("action: apuesta_recibida | result: success").length === 2
      )
      const { code, ms } = await central.stop()
      // 1 when the ledger couldn't be closed in good order either.
      assert.oneOf(code, [0, 1])
      assert.isBelow(ms, graceMs + 500)
      await waitUntilGone(children, 1000)
    }
    assert.deepStrictEqual(await wire?.gone(), [])
    await assertGoesOn(central, [1])
  })
})

const drawsHeld = (central: Central): number => {
  using database = new DatabaseSync(central.ledgerPath, { readOnly: true })
  return Number(database.prepare("SELECT count(*) AS draws FROM draw").get()?.["draws"])
}

describe("SIGTERM at the last chunk", () => {
  const moments = ["sent", "stored", "answered", "drawn"] as const

  it.each(moments)(
    "(%s) leaves the draw held once, and every agency is told its winners after the restart",
    async (moment) => {
      const bets = [sales(1, 30, 4), sales(2, 40, 3)] as const
      await using central = await Central.start({ agencies: 2, settings: { log: { flushMs: 0 } } })
      const children = central.children
      using first = await Wire.connect(central.betsPort)
      using waiting = await Wire.connect(central.consultPort)
      waiting.send({ type_message: 3, agency: 1, payload: null })
      const last = (agency: 1 | 2) => ({
        type_message: 2,
        agency,
        seq: 1,
        payload: bets[agency - 1]
      })
      await first.ask(last(1))
      using second = await Wire.connect(central.betsPort)
      second.send(last(2))
      if (moment === "stored") {
        await central.waitForLine("action: apuestas_almacenadas | result: success | agencia: 2")
      }
      if (moment === "answered") await second.answer()
      if (moment === "drawn") await central.waitForLine("action: sorteo")
      await assertEnded(await central.stop(), 0, soonMs, children)
      // Not taken in yet, it is reset.
      const answers = moment === "answered" ? [{ type_message: 1 }] : await second.gone()
      const early = drawsHeld(central)
      const told = (await waiting.closed()).map(({ payload }) => payload)
      assert.isTrue(told.length === 0 || (early === 1 && told[0] === winnersOf(bets[0]).join(",")))

      await central.start()
      using again = await Wire.connect(central.betsPort)
      const answer = await again.ask(last(2))
      assert.include(answer, { type_message: 1, seq: 1 })
      if (answers.length > 0) assert.isTrue(answer["duplicate"], "what was answered is there")
      for (const agency of [1, 2] as const) {
        using asker = await Wire.connect(central.consultPort)
        const winners = await asker.ask({ type_message: 3, agency, payload: null })
        assert.deepStrictEqual(winners["payload"], winnersOf(bets[agency - 1] ?? []).join(","))
      }
      assert.strictEqual(drawsHeld(central), 1)
      assert.lengthOf(central.lines("action: sorteo"), 1 - early)
      using ledger = new LedgerFile(central.ledgerPath)
      assert.deepStrictEqual([ledger.betsOf(1), ledger.betsOf(2)], [...bets])
    }
  )
})

/** A second signal is one only when it comes so much later. */
const anotherSignal = async (): Promise<void> => {
  const since = performance.now()
  await waitUntil("the first signal's half second", () => performance.now() - since > 600)
}

/** Why there is no PID namespace to be had; undefined when there is. */
const obstacle = process.platform === "linux"
    && spawnSync("unshare", ["--pid", "--fork", "--mount-proc", "true"]).status === 0
  ? undefined
  : "unshare is not permitted"

describe("as PID 1 of its own namespace", () => {
  it.skipIf(obstacle !== undefined).each([[1, 0], [2, 1]] as const)(
    `after %i SIGTERM ends with %i, and nothing of it is left${
      obstacle === undefined ? "" : ` (skipped: ${obstacle})`
    }`,
    async (signals, code) => {
      await using central = await Central.prepare({ agencies: 1 })
      const main = `${projectFolder}/src/main.ts`
      const outer = spawn(
        "unshare",
        [
          "--pid",
          "--fork",
          "--mount-proc",
          "--kill-child=SIGKILL",
          process.execPath,
          main,
          "serve",
          "--config",
          central.configPath
        ],
        { stdio: ["ignore", "pipe", "inherit"] }
      )
      const closed = once(outer, "close")
      try {
        let log = ""
        outer.stdout.setEncoding("utf8").on("data", (text: string) => (log += text))
        await waitUntil("ready", () => log.includes("action: ready"))
        const all = descendants(outer.pid ?? 0)
        const [first = 0] = all
        const port = Number(/resource: bets_listener \| port: (\d+)/.exec(log)?.[1])
        using wire = await Wire.connect(port)
        assert.strictEqual((await wire.ask(chunkOf(1, 1))).type_message, 1)
        if (signals === 2) {
          // A chunk in the hands of a parser that stands still keeps the shutdown waiting.
          for (const pid of all.slice(1)) process.kill(pid, "SIGSTOP")
          wire.send(chunkOf(1, 2))
        }
        process.kill(first, "SIGTERM")
        await waitUntil("the first signal", () => log.includes(signalled))
        if (signals === 2) {
          await anotherSignal()
          process.kill(first, "SIGTERM")
        }
        await within("the end of PID 1", closed)
        assert.strictEqual(outer.exitCode, code, log)
        await waitUntilGone(all, 500)
      } finally {
        outer.kill("SIGKILL")
      }
      assertHolds(central, [1])
    }
  )
})
