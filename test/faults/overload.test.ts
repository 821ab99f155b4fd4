/** More input than the central has memory for: who waits, who is refused for now, and the memory in use. */
import { assert, describe, it } from "@effect/vitest"
import { setTimeout } from "node:timers/promises"
import { Central } from "../support/Central.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { sale } from "../support/Sales.ts"
import { frame, Wire, type WireAnswer } from "../support/Wire.ts"
import { memoryCeiling, MemoryWatch } from "./Memory.ts"

const kibibyte = 1024
const ids = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

/** A frame of exactly that many bytes, with as many different bets as fit. */
const fullFrame = (
  agency: number,
  chunk: number,
  bytes: number,
  seq?: number
): { readonly bytes: Uint8Array; readonly bets: ReadonlyArray<string> } => {
  const count = Math.floor((bytes - 100) / 64)
  const bets = Array.from({ length: count }, (_, index) => sale(agency, chunk * count + index))
  const text = JSON.stringify({ type_message: 1, agency, ...(seq ? { seq } : {}), payload: bets })
  const padding = bytes - new TextEncoder().encode(text).length
  if (padding < 0) throw new Error("the bets are longer than thought")
  return { bytes: frame(text + " ".repeat(padding)), bets }
}

/** Takes a part of the room for as long as it may: a frame that is announced and doesn't come. */
const hog = async (central: Central, bytes: number): Promise<Wire> => {
  const wire = await Wire.connect(central.betsPort)
  const header = new Uint8Array(4)
  new DataView(header.buffer).setUint32(0, bytes)
  wire.sendBytes(header)
  return wire
}

describe("a central without room for another frame", () => {
  const frameBytes = 16 * kibibyte
  const roomWaitMs = 100

  it("tells those that count OVERLOADED and when to come again, lets the others wait, and serves all when there is room", async () => {
    await using central = await Central.start({
      agencies: 16,
      settings: {
        connections: {
          frameBytesMax: frameBytes,
          frameBudgetBytes: frameBytes,
          frameDeadlineMs: 1200,
          roomWaitMs
        }
      }
    })
    const counting = await Promise.all(
      ids(8).map(async (id) => {
        const wire = await Wire.connect(central.betsPort)
        assert.include(await wire.ask({ type_message: 4, agency: id }), { seq: 0 })
        // From here on it is known to count: RESUME alone doesn't say that chunks carry `seq`.
        const empty = { type_message: 1, agency: id, seq: 1, payload: [] }
        assert.include(await wire.ask(empty), { type_message: 1, seq: 1 })
        return { id, wire, refused: 0, sent: fullFrame(id, 0, frameBytes, 2) }
      })
    )
    const plain = await Promise.all(
      ids(8).map(async (index) => {
        const wire = await Wire.connect(central.betsPort)
        return { id: 8 + index, wire, sent: fullFrame(8 + index, 0, frameBytes) }
      })
    )
    using one = await hog(central, frameBytes)
    await central.waitUntil(
      "the hog taken in",
      () => central.lines("action: accept_connections").length === 17
    )
    const sell = async (agency: (typeof counting)[number]): Promise<void> => {
      for (;;) {
        agency.wire.sendBytes(agency.sent.bytes)
        const answer = await agency.wire.answer()
        if (answer.type_message === 1) return
        assert.include(answer, {
          type_message: 3,
          payload: null,
          code: "OVERLOADED",
          retry_after_ms: roomWaitMs
        })
        agency.refused++
        await setTimeout(Number(answer["retry_after_ms"]))
      }
    }
    const answers = plain.map(({ sent, wire }) => {
      wire.sendBytes(sent.bytes)
      return wire.answer()
    })
    await Promise.all(counting.map(sell))
    assert.isTrue(counting.some(({ refused }) => refused > 0), "some were told to come again")
    const overloaded = central.lines("action: apuesta_recibida | result: fail")
      .filter((line) => line.includes("OVERLOADED"))
    assert.isNotEmpty(overloaded)
    for (const line of overloaded) {
      assert.match(
        line,
        /\| cantidad: 0 \| agencia: [1-8] \| code: OVERLOADED \| door: bets \| ip: 127\.0\.0\.1$/
      )
    }
    for (const answer of await Promise.all(answers)) {
      assert.deepStrictEqual(answer, { type_message: 1, payload: null })
    }
    assert.deepStrictEqual((await one.closed()).map(({ code }) => code), ["TIMEOUT"])
    {
      using ledger = new LedgerFile(central.ledgerPath)
      for (const { id, sent } of [...counting, ...plain]) {
        assert.deepStrictEqual(ledger.betsOf(id), sent.bets)
      }
    }
    // The load has ended: nobody waits any more.
    const before = central.lines("action: apuesta_recibida | result: fail").length
    for (const { id, wire } of counting) {
      wire.sendBytes(fullFrame(id, 1, frameBytes, 3).bytes)
      assert.deepStrictEqual(await wire.answer(), { type_message: 1, payload: null, seq: 3 })
    }
    assert.lengthOf(central.lines("action: apuesta_recibida | result: fail"), before)
    for (const { wire } of [...counting, ...plain]) wire[Symbol.dispose]()
  })

  it("shares it fairly: small frames don't pass large ones, and no agency is done before all are well under way", async () => {
    const [agencies, chunks] = [24, 12]
    await using central = await Central.start({
      agencies,
      settings: {
        connections: { frameBytesMax: frameBytes, frameBudgetBytes: 2 * frameBytes },
        parsers: { processes: 2 }
      }
    })
    const hogs = [await hog(central, frameBytes), await hog(central, frameBytes)]
    const wires = await Promise.all(ids(agencies).map(() => Wire.connect(central.betsPort)))
    const answered = ids(agencies).map(() => 0)
    let leastAtFirstEnd: number | undefined
    const sent = wires.map((wire, index) => {
      const id = index + 1
      const bytes = id % 3 === 0 ? 2 * kibibyte : frameBytes
      const frames = ids(chunks).map((chunk) => fullFrame(id, chunk, bytes))
      // All of it at once: those that send ahead get no more than those that wait.
      wire.sendBytes(Buffer.concat(frames.map((one) => one.bytes)))
      return frames.flatMap(({ bets }) => bets)
    })
    await central.waitUntil(
      "all in line",
      () => central.lines("action: accept_connections").length === agencies + hogs.length
    )
    for (const one of hogs) one.vanish()
    await Promise.all(wires.map(async (wire, index) => {
      for (let chunk = 1; chunk <= chunks; chunk++) {
        assert.deepStrictEqual(await wire.answer(20_000), { type_message: 1, payload: null })
        answered[index] = chunk
      }
      leastAtFirstEnd ??= Math.min(...answered)
    }))
    using ledger = new LedgerFile(central.ledgerPath)
    for (const [index, bets] of sent.entries()) {
      assert.deepStrictEqual(ledger.betsOf(index + 1), bets)
    }
    for (const wire of wires) wire[Symbol.dispose]()
    const least = leastAtFirstEnd ?? 0
    assert.isAtLeast(least, chunks / 2, "what the slowest had when the first was done")
  })
})

describe("the memory of a central", () => {
  const settings = {
    connections: {
      max: 400,
      frameBytesMax: 4 * 1024 * kibibyte,
      frameBudgetBytes: 48 * 1024 * kibibyte
    },
    ledger: { groupBytesMax: 8 * 1024 * kibibyte },
    // The least that is allowed with such frames.
    parsers: { processes: 2, memoryMb: 320 }
  }

  it(
    "stays below the ceiling of its configuration with as much at once as there can be",
    async () => {
      const agencies = 64
      const chunks = 4
      await using central = await Central.start({
        agencies,
        settings: { ...settings, log: { level: "ERROR" } }
      }).catch(() => Central.start({ agencies, settings }))
      using watch = new MemoryWatch(() => [central.pid, ...central.children])
      const idle = watch.look()
      // As expensive to parse as it gets.
      const dear = (bytes: number) => {
        const deep = bytes / 2 - 30
        return frame(
          `{"type_message":1,"agency":1,"payload":[${"[".repeat(deep)}${"]".repeat(deep)}]}`
        )
      }
      const [large, usual] = [dear(settings.connections.frameBytesMax), dear(144 * kibibyte)]
      const { bets } = fullFrame(agencies, 0, 1024 * kibibyte)
      const payload = JSON.stringify(bets)
      const frameOf = (id: number) =>
        frame(`{"type_message":1,"agency":${id},"payload":${payload}}`)
      const dawdlers = await Promise.all(
        ids(settings.connections.max - agencies - 10).map(() => Wire.connect(central.betsPort))
      )
      // More each than the central reads ahead; most of it waits for room.
      for (const [index, wire] of dawdlers.entries()) {
        wire.socket.write(index % 50 === 0 ? large : usual)
      }
      const answers = await Promise.all(
        ids(agencies).map(async (id) => {
          using wire = await Wire.connect(central.betsPort)
          const heard: Array<WireAnswer> = []
          for (let chunk = 0; chunk < chunks; chunk++) wire.socket.write(frameOf(id))
          for (let chunk = 0; chunk < chunks; chunk++) heard.push(await wire.answer(60_000))
          return heard
        })
      )
      for (const answer of answers.flat()) assert.strictEqual(answer.type_message, 1)
      for (const wire of dawdlers) wire[Symbol.dispose]()
      const ceiling = memoryCeiling(settings)
      if (process.env["SHOW"]) {
        process.stderr.write(`memory: idle ${idle}, peak ${watch.peak}, ceiling ${ceiling}\n`)
      }
      assert.isAbove(watch.peak, idle + 48, "the load was one")
      assert.isBelow(watch.peak, ceiling)
    }
  )
})
