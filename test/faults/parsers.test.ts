/** Parser children that die or hang under the server. Those that answer garbage or leak: test/services/intake/ChunkParser.test.ts. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { setTimeout } from "node:timers/promises"
import { Central } from "../support/Central.ts"
import { FieldAgency } from "../support/FieldAgency.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { isAlive, waitUntilGone } from "../support/Processes.ts"
import { sales } from "../support/Sales.ts"
import { Wire } from "../support/Wire.ts"
import { Bystander } from "./Bystander.ts"

const chunkDeadlineMs = 700

/**
 * Whether the process has become the parser's program: until then it is a copy of the server, which waits for it and must
 * not be stopped with it.
 */
const runsParser = (pid: number): boolean => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("parser.ts")
  } catch {
    return false
  }
}

/** The pid of a child, once there is one other than those. */
const anotherChild = (
  central: Central,
  than: ReadonlyArray<number> = []
): Promise<number> =>
  central.waitUntil(
    "another parser child",
    () => central.children.find((pid) => !than.includes(pid) && runsParser(pid))
  )

const frameBytesCeiling = 16 * 1024 * 1024

/** The message with so many unknown members that it takes about a second to parse. */
const slowMessage = (message: Readonly<Record<string, unknown>>): string =>
  `${JSON.stringify(message).slice(0, -1)},"more":[${"{},".repeat(5_500_000)}{}]}`

/** How often the process was woken. */
const wakings = (pid: number): number =>
  Number(
    /^voluntary_ctxt_switches:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
  )

/** The child that gets the next frame when all are idle. */
const firstChild = async (central: Central): Promise<number> => {
  using wire = await Wire.connect(central.betsPort)
  const before = central.children.map((pid) => ({ pid, wakings: wakings(pid) }))
  for (let asked = 0; asked < 10; asked++) await wire.ask({ type_message: 4, agency: 2 })
  const woken = before.map(({ pid, wakings: times }) => ({ pid, times: wakings(pid) - times }))
  return woken.toSorted((a, b) => b.times - a.times)[0]?.pid ?? assert.fail("no parser child")
}

describe("parser children", () => {
  it("that are killed again and again are replaced, and no agency notices", async () => {
    await using central = await Central.start({
      agencies: 3,
      settings: { parsers: { processes: 2, restartFirstMs: 1 } }
    })
    await using one = await Bystander.start(central, 1)
    await using two = await Bystander.start(central, 2)
    const killed = new Set<number>()
    for (let round = 0; round < 8; round++) {
      const victim = await anotherChild(central, [...killed])
      process.kill(victim, "SIGKILL")
      killed.add(victim)
      // The chunk in hand is tried once more, so not again before it has got through.
      await Promise.all([one.progress(3), two.progress(3)])
    }
    for (const bystander of [one, two]) {
      const { chunks, slowestMs } = await bystander.ended()
      assert.isAbove(chunks, 8)
      assert.isBelow(slowestMs, 3000)
    }
    assert.isAtLeast(central.lines("action: parser_replaced").length, 8)
    assert.strictEqual((await central.stop()).code, 0)
  })

  it("that hang are replaced within their deadline, and the chunk is parsed by another", async () => {
    await using central = await Central.start({
      agencies: 2,
      settings: { parsers: { processes: 2, chunkDeadlineMs, restartFirstMs: 1 } }
    })
    await using bystander = await Bystander.start(central, 1)
    using agency = await FieldAgency.open(central, 2)
    const children = central.children
    const hanging = await anotherChild(central)
    process.kill(hanging, "SIGSTOP")
    // A few, so that some of them meet the one that hangs.
    for (let chunk = 0; chunk < 6; chunk++) {
      const answer = await agency.sendChunk(sales(2, 4).slice(0, 4))
      assert.strictEqual(answer?.type_message, 1)
    }
    await waitUntilGone([hanging])
    assert.isTrue(children.filter((pid) => pid !== hanging).every(isAlive))
    const { slowestMs } = await bystander.ended()
    assert.isBelow(slowestMs, 2 * chunkDeadlineMs + 1500)
  })

  it("of which two in turn fail on a chunk make it PARSER_FAILED with seq, and the close without", async () => {
    await using central = await Central.start({
      agencies: 2,
      settings: {
        connections: { frameBytesMax: frameBytesCeiling },
        parsers: { processes: 1, memoryMb: 1088, chunkDeadlineMs: 250, restartFirstMs: 1 }
      }
    })
    using counting = await Wire.connect(central.betsPort)
    using plain = await Wire.connect(central.betsPort)
    const chunk = { type_message: 1, agency: 1, seq: 2, payload: sales(1, 3) }
    const first = { ...chunk, seq: 1 }
    assert.include(await counting.ask(first), { type_message: 1, seq: 1 })
    counting.send(slowMessage(chunk))
    const refusal = await counting.answer()
    assert.include(refusal, { type_message: 3, code: "PARSER_FAILED", payload: null })
    assert.isNumber(refusal["retry_after_ms"])
    plain.send(slowMessage({ type_message: 1, agency: "2", payload: sales(2, 3) }))
    assert.deepStrictEqual(await plain.closed(), [])
    await central.waitUntil(
      "two failures for each",
      () => central.lines("action: parser_replaced").length >= 4
    )

    assert.include(await counting.ask(chunk), { type_message: 1, seq: 2 })
    using agency = await FieldAgency.open(central, 2)
    assert.strictEqual(await agency.sendBets(sales(2, 3), 3, false), 3)
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual([...ledger.counts()], [[1, 6], [2, 3]])
  })

  it("that are slow don't let an older connection take over after RESUME_POINT was told to a newer one", async () => {
    await using central = await Central.start({
      agencies: 2,
      settings: { parsers: { processes: 2 } }
    })
    const bets = sales(1, 2)
    const chunk = { type_message: 1, agency: 1, seq: 1, payload: bets }
    using older = await Wire.connect(central.betsPort)
    const stopped = await firstChild(central)
    process.kill(stopped, "SIGSTOP")
    older.send(chunk)
    // Accepted after the chunk was read, so this goes to the other child.
    using newer = await Wire.connect(central.betsPort)
    assert.include(await newer.ask({ type_message: 4, agency: 1 }), { type_message: 4, seq: 0 })
    process.kill(stopped, "SIGCONT")
    assert.deepStrictEqual(await older.closed(), [])
    assert.include(await newer.ask(chunk), { type_message: 1, seq: 1 })
    assert.isTrue(newer.open)
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual([...ledger.counts()], [[1, 2]])
  })

  it("that can't be had keep agencies waiting, and those that come are used at once", async () => {
    await using central = await Central.start({
      agencies: 1,
      settings: { parsers: { processes: 1, restartFirstMs: 400, restartMaxMs: 400 } }
    })
    using agency = await FieldAgency.open(central, 1)
    for (const pid of central.children) process.kill(pid, "SIGKILL")
    await central.waitForLine("action: parser_replaced")
    const start = performance.now()
    const answer = agency.sendChunk(sales(1, 5))
    await setTimeout(100)
    assert.deepStrictEqual(central.lines("action: apuesta_recibida"), [])
    assert.strictEqual((await answer)?.type_message, 1)
    assert.isAbove(performance.now() - start, 200)
  })
})
