/** Faults of the network: peers that vanish, reset, send slowly, don't read, come in thousands, or reconnect early. */
import { assert, describe, it } from "@effect/vitest"
import { once } from "node:events"
import { readdirSync, readFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { setTimeout } from "node:timers/promises"
import { Central } from "../support/Central.ts"
import { FieldAgency } from "../support/FieldAgency.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { sales, winnersOf } from "../support/Sales.ts"
import { within } from "../support/WaitUntil.ts"
import { frame, Wire } from "../support/Wire.ts"
import { Bystander } from "./Bystander.ts"
import { MemoryWatch } from "./Memory.ts"

const descriptors = (central: Central): number => readdirSync(`/proc/${central.pid}/fd`).length

/** Waits until the central holds no more than it did. */
const backTo = (central: Central, before: number): Promise<unknown> =>
  central.waitUntil(`${before} descriptors`, () => descriptors(central) <= before)

/** The kernel's timer of the central's side of a connection: 2 is keep-alive's. */
const kernelTimer = (port: number, peerPort: number | undefined): number | undefined => {
  const hex = (number: number | undefined) => number?.toString(16).toUpperCase().padStart(4, "0")
  const line = ["tcp", "tcp6"]
    .flatMap((table) => readFileSync(`/proc/net/${table}`, "utf8").split("\n"))
    .map((text) => text.trim().split(/\s+/))
    .find(([, local, remote]) =>
      local?.endsWith(`:${hex(port)}`) && remote?.endsWith(`:${hex(peerPort)}`)
    )
  return line === undefined ? undefined : Number(line[5]?.split(":")[0])
}

/** In pieces of one byte, with a pause before each, until it is over or the connection is. */
const trickle = async (wire: Wire, bytes: Uint8Array, pauseMs: number): Promise<void> => {
  for (const byte of bytes) {
    if (!wire.open) return
    wire.sendBytes([byte])
    await setTimeout(pauseMs)
  }
}

describe("a peer that vanishes without a word", () => {
  it("in a frame is closed after the frame's deadline; where it was idle, keep-alive finds out and it lives till then", async () => {
    const frameDeadlineMs = 300
    await using central = await Central.start({
      agencies: 1,
      settings: { connections: { frameDeadlineMs, closeLingerMs: 50, answerDeadlineMs: 300 } }
    })
    using seller = await Wire.connect(central.betsPort)
    using asker = await Wire.connect(central.consultPort)
    using waiting = await Wire.connect(central.consultPort)
    waiting.send({ type_message: 3, agency: 1, payload: null })
    const before = await central.waitUntil(
      "three connections",
      () => central.lines("action: accept_connections").length === 3 && descriptors(central)
    )
    // They never close their side, as a machine that was switched off.
    const vanished = await Promise.all(
      Array.from(
        { length: 20 },
        (_, index) => Wire.connect(index % 2 === 0 ? central.betsPort : central.consultPort)
      )
    )
    const started = performance.now()
    for (const [index, wire] of vanished.entries()) {
      wire.sendBytes(frame("{\"type_message\": 1").subarray(0, 1 + index % 8))
    }
    for (const wire of vanished) {
      const [answer, ...more] = await wire.closed()
      assert.deepStrictEqual([answer?.["code"], more], ["TIMEOUT", []])
    }
    assert.isAtLeast(performance.now() - started, frameDeadlineMs)
    await backTo(central, before)
    for (const wire of vanished) wire[Symbol.dispose]()

    for (const idle of [seller, asker, waiting]) assert.isTrue(idle.open)
    for (
      const [idle, port] of [[seller, central.betsPort], [waiting, central.consultPort]] as const
    ) {
      assert.strictEqual(kernelTimer(port, idle.socket.localPort), 2, "keep-alive's timer")
    }
    const bets = sales(1, 12, 3)
    seller.send({ type_message: 2, agency: 1, payload: bets })
    asker.send({ type_message: 3, agency: 1, payload: null })
    assert.strictEqual((await seller.answer()).type_message, 1)
    for (const wire of [waiting, asker]) {
      assert.strictEqual((await wire.answer())["payload"], winnersOf(bets).join(","))
    }
  })
})

describe("a connection that is reset", () => {
  it("mid-frame gives back the room that its frame had, and its descriptor", async () => {
    const frameBytesMax = 4096
    await using central = await Central.start({
      agencies: 1,
      settings: { connections: { frameBytesMax, frameBudgetBytes: 2 * frameBytesMax } }
    })
    using wire = await Wire.connect(central.betsPort)
    assert.include(await wire.ask({ type_message: 4, agency: 1 }), { seq: 0 })
    const before = descriptors(central)
    // Two of them have the room, the others wait for it.
    for (let round = 0; round < 10; round++) {
      const wires = await Promise.all(
        Array.from({ length: 8 }, () => Wire.connect(central.betsPort))
      )
      for (const one of wires) one.sendBytes([0, 0, 0x10, 0, 0x7b])
      await central.waitUntil("all taken in", () => descriptors(central) === before + 8)
      for (const one of wires) one.vanish()
      await backTo(central, before)
    }
    const chunk = JSON.stringify({ type_message: 1, agency: 1, seq: 1, payload: [] })
    assert.include(await wire.ask(chunk.padEnd(frameBytesMax)), { type_message: 1, seq: 1 })
  })

  it("with a chunk in hand leaves it stored once or not at all, and the agency finds out which", async () => {
    await using central = await Central.start({ agencies: 20 })
    const before = descriptors(central)
    const children = central.children
    const ids = Array.from({ length: 20 }, (_, index) => index + 1)
    const chunk = (id: number) => ({ type_message: 1, agency: id, seq: 1, payload: sales(id, 30) })
    // Half of them break off while the parser holds the chunk, the others at any moment.
    for (const id of ids) {
      if (id === 11) { for (const pid of children) process.kill(pid, "SIGSTOP") }
      const wire = await Wire.connect(central.betsPort)
      wire.send(chunk(id))
      await central.waitUntil(
        "taken in",
        () => central.lines("action: accept_connections").length === id
      )
      if (id % 3 !== 0) wire.vanish()
      else wire[Symbol.dispose]()
    }
    for (const pid of children) process.kill(pid, "SIGCONT")
    await backTo(central, before)
    for (const id of ids) {
      using wire = await Wire.connect(central.betsPort)
      const { bets, seq } = await wire.ask({ type_message: 4, agency: id })
      assert.oneOf(seq, [0, 1])
      assert.strictEqual(bets, Number(seq) * 30)
      const answer = await wire.ask(chunk(id))
      assert.include(answer, { type_message: 1, seq: 1 })
      assert.strictEqual(answer["duplicate"], seq === 1 ? true : undefined)
    }
    using ledger = new LedgerFile(central.ledgerPath)
    for (const id of ids) assert.deepStrictEqual(ledger.betsOf(id), sales(id, 30))
  })
})

describe("a peer that sends a byte at a time", () => {
  const frameDeadlineMs = 600

  it("is served when each frame ends in time, and is TIMEOUT when one doesn't", async () => {
    await using central = await Central.start({
      agencies: 2,
      settings: { connections: { frameDeadlineMs } }
    })
    await using bystander = await Bystander.start(central, 2)
    const bytes = frame({ type_message: 1, agency: 1, payload: sales(1, 1) })
    const inTime = async (): Promise<void> => {
      using wire = await Wire.connect(central.betsPort)
      const started = performance.now()
      // Together they take longer than the deadline of one.
      for (let chunk = 0; chunk < 4; chunk++) {
        await trickle(wire, bytes, 1)
        assert.deepStrictEqual(await wire.answer(), { type_message: 1, payload: null })
      }
      assert.isAbove(performance.now() - started, 4 * bytes.length)
    }
    const late = async (): Promise<void> => {
      using wire = await Wire.connect(central.betsPort)
      await trickle(wire, bytes, 2 * frameDeadlineMs / bytes.length)
      const answers = await wire.closed()
      assert.deepStrictEqual(answers.map(({ code }) => code), ["TIMEOUT"])
    }
    await Promise.all([inTime(), late(), late()])
    await bystander.ended()
    using ledger = new LedgerFile(central.ledgerPath)
    assert.strictEqual(ledger.counts().get(1), 4)
  })
})

describe("a peer that never reads its answers", () => {
  it("gets no further turns, takes no memory, and is cut off; others are served meanwhile", async () => {
    const answerDeadlineMs = 800
    await using central = await Central.start({
      agencies: 2,
      settings: { connections: { answerDeadlineMs }, log: { level: "DEBUG" } }
    })
    await using bystander = await Bystander.start(central, 2)
    const before = descriptors(central)
    using watch = new MemoryWatch(() => [central.pid, ...central.children])
    const idle = watch.look()
    // Refusals need no disk, and are long: some thousands fill what the kernel holds for the peer.
    const chunk = frame({ type_message: 1, agency: 9, seq: 1, payload: [] })
    const many = Buffer.concat(Array.from({ length: 80_000 }, () => chunk))
    const wires = await Promise.all([0, 1].map(() => Wire.connect(central.betsPort)))
    for (const wire of wires) {
      wire.socket.pause()
      wire.socket.write(many)
    }
    const unread = () =>
      central.lines("action: connection_closed").filter((line) => line.includes("answers_unread"))
    await central.waitUntil("the cut", () => unread().length === wires.length, 25_000)
    for (const wire of wires) wire[Symbol.dispose]()
    await backTo(central, before)
    await bystander.progress(5)
    const { slowestMs } = await bystander.ended()
    assert.isBelow(slowestMs, 3000)
    assert.isBelow(watch.peak - idle, 96, "MiB beyond what it took idle")
  })
})

/** A plain socket: thousands of them at once. */
const open = async (port: number): Promise<Socket> => {
  const socket = connect({ host: "127.0.0.1", port })
  socket.on("error", () => {})
  await within("a connection", once(socket, "connect"))
  return socket
}

describe("thousands of connections", () => {
  it("are refused beyond the limit, and leave nothing behind when they go", async () => {
    const [max, beyond] = [2000, 500]
    await using central = await Central.start({ agencies: 1, settings: { connections: { max } } })
    const before = descriptors(central)
    const sockets: Array<Socket> = []
    const refusals: Array<string> = []
    for (let at = 0; at < max + beyond; at += 250) {
      const port = at % 500 === 0 ? central.betsPort : central.consultPort
      const more = await Promise.all(Array.from({ length: 250 }, () => open(port)))
      for (const socket of more) {
        socket.setEncoding("latin1").on("data", (text) => refusals.push(String(text)))
      }
      sockets.push(...more)
      // Those of one batch have been taken in before the next ones come.
      await central.waitUntil(
        "taken in",
        () => descriptors(central) - before + refusals.length >= sockets.length
      )
    }
    await central.waitUntil("the refusals", () => refusals.length === beyond)
    for (const refusal of refusals) assert.include(refusal, "TOO_MANY_CONNECTIONS")
    await central.waitUntil("the refused ones' ends", () => descriptors(central) <= before + max)
    for (const [index, socket] of sockets.entries()) {
      if (index % 2 === 0) socket.destroy()
      else socket.resetAndDestroy()
    }
    await backTo(central, before)
    using agency = await FieldAgency.open(central, 1)
    const bets = sales(1, 10, 1)
    assert.deepStrictEqual(await agency.work(bets, 5), { logged: 10, winners: winnersOf(bets) })
  })
})

describe("an agency of the field that comes back while its old connections look alive", () => {
  it("starts from the top and is heard at once, again and again; the old ones are closed, nothing is doubled", async () => {
    await using central = await Central.start({
      agencies: 1,
      settings: { log: { level: "DEBUG" } }
    })
    const bets = sales(1, 120, 4)
    const old: Array<FieldAgency> = []
    for (let sold = 20; sold <= 80; sold += 20) {
      const agency = await FieldAgency.open(central, 1)
      assert.strictEqual(await agency.sendBets(bets.slice(0, sold), 10, false), sold)
      old.push(agency)
    }
    const superseded = await central.waitUntil("the older ones' ends", () => {
      const lines = central.lines("action: connection_closed")
        .filter((line) => line.includes("superseded"))
      return lines.length >= old.length - 1 && lines
    })
    assert.lengthOf(superseded, old.length - 1)
    // The last of the old ones has a chunk on its way when the agency is back once more.
    const late = old.at(-1)?.sendChunk(bets.slice(80, 90)).catch(() => undefined)
    using agency = await FieldAgency.open(central, 1)
    assert.deepStrictEqual(await agency.work(bets, 7), { logged: 120, winners: winnersOf(bets) })
    await late
    // What an old one says afterwards is not heard.
    assert.isUndefined(await old[0]?.sendChunk(bets.slice(0, 10)).catch(() => undefined))
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(1), bets)
    for (const one of old) one[Symbol.dispose]()
  })
})
