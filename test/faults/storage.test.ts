/** Disks that are full, fail, or may not be written; and that a sync lies between a write and its answer. */
import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Central } from "../support/Central.ts"
import { FieldAgency } from "../support/FieldAgency.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { sales, winnersOf } from "../support/Sales.ts"
import { waitUntil, within } from "../support/WaitUntil.ts"
import { Wire } from "../support/Wire.ts"
import { FaultyMachine, SmallDisk, straceUnavailable } from "./FaultyMachine.ts"
import { assertRefused, chunkBets, health, numberingClient } from "./NumberingClient.ts"

/** For the test's name, so that the output gives the reason for a skip. */
const unless = (unavailable: string | undefined): string =>
  unavailable === undefined ? "" : ` (skipped: ${unavailable})`

const refusals = (central: Central) => central.lines("action: apuestas_almacenadas | result: fail")

/**
 * Two agencies meet a ledger that can't be written: the numbering client is refused, the field's waits without an
 * answer. Then the fault ends, and both go on to the draw.
 */
const meetTrouble = async (
  central: Central,
  begin: () => void,
  end: () => void
): Promise<void> => {
  const [first, second] = [sales(1, 4 * chunkBets, 3), sales(2, 4 * chunkBets, 2)]
  using one = await numberingClient(central, 1, first)
  using two = await FieldAgency.open(central, 2)
  assert.strictEqual((await one.send()).type_message, 1)
  assert.strictEqual((await two.sendChunk(second.slice(0, chunkBets)))?.type_message, 1)
  begin()
  assertRefused(await one.send())
  let answered = false
  const waiting = two.sendChunk(second.slice(chunkBets, 2 * chunkBets)).finally(() => {
    answered = true
  })
  const before = refusals(central).length
  await central.waitUntil("more tries", () => refusals(central).length > before + 2)
  assertRefused(await one.send())
  const unwell = await health(central)
  assert.strictEqual(unwell.code, 1)
  assert.match(
    unwell.stderr,
    /not ready: ledger: nothing can be stored \(.+\), as of \d{4}-\S+\+00:00\n$/
  )
  assert.isFalse(answered, "the field's agency was answered for what isn't stored")
  {
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual([...ledger.counts()], [[1, chunkBets], [2, chunkBets]])
  }
  end()
  assert.strictEqual((await waiting)?.type_message, 1)
  while (one.acknowledged < one.chunks) {
    const answer = await one.send()
    if (answer.type_message !== 1) assertRefused(answer)
  }
  assert.strictEqual(
    await two.sendBets(second.slice(2 * chunkBets), chunkBets, true),
    2 * chunkBets
  )
  assert.deepStrictEqual(await two.consult(), winnersOf(second))
  using ledger = new LedgerFile(central.ledgerPath)
  assert.deepStrictEqual(ledger.betsOf(1), first)
  assert.deepStrictEqual(ledger.betsOf(2), second)
  await central.waitForLine("action: sorteo | result: success")
  assert.lengthOf(central.lines("action: sorteo | result: success"), 1)
  assert.deepStrictEqual(await health(central), { code: 0, stdout: "ready\n", stderr: "" })
}

describe("a full disk", () => {
  it.skipIf(SmallDisk.unavailable !== undefined)(
    `answers nothing that isn't stored, and work goes on when there is room again${
      unless(SmallDisk.unavailable)
    }`,
    async () => {
      using disk = new SmallDisk(2 * 1024 * 1024)
      const filler = join(disk.path, "filler")
      await using central = await Central.start({
        agencies: 2,
        settings: {
          ledger: { retryFirstMs: 5, retryMaxMs: 50 }
        },
        ledgerPath: join(disk.path, "ledger.sqlite")
      })
      await meetTrouble(
        central,
        () => {
          // To the last byte, whatever the granularity.
          for (let bytes = 1024 * 1024; bytes >= 1; bytes = Math.floor(bytes / 2)) {
            try {
              writeFileSync(filler, new Uint8Array(bytes), { flag: "a" })
            } catch {
              // So much doesn't fit; half of it might.
            }
          }
        },
        () => rmSync(filler)
      )
      assert.strictEqual((await central.stop()).code, 0)
    }
  )

  it.skipIf(SmallDisk.unavailable !== undefined)(
    `lets the server end in good order, and what was acknowledged is there at the next start${
      unless(SmallDisk.unavailable)
    }`,
    async () => {
      using disk = new SmallDisk(1024 * 1024)
      const ledgerPath = join(disk.path, "ledger.sqlite")
      await using central = await Central.start({
        agencies: 1,
        settings: {
          ledger: { retryFirstMs: 5, retryMaxMs: 50 },
          shutdown: { graceMs: 3000 }
        },
        ledgerPath
      })
      const bets = sales(1, 500 * chunkBets)
      using one = await numberingClient(central, 1, bets)
      for (;;) {
        const answer = await one.send()
        if (answer.type_message === 1) continue
        assertRefused(answer)
        break
      }
      assert.isAbove(one.acknowledged, 10)
      using field = await FieldAgency.open(central, 1)
      const unanswered = field.sendChunk(["Ana,Lorca,1,1999-03-17,1"]).catch(() => undefined)
      await central.waitUntil("the field's try", () => refusals(central).length > 3)
      const ending = await central.stop()
      assert.strictEqual(ending.code, 0, central.log.slice(-1500) + central.errors)
      assert.isBelow(ending.ms, 3000)
      assert.isUndefined(await unanswered)
      disk.remount("size=8m")
      await central.start()
      using ledger = new LedgerFile(ledgerPath)
      assert.deepStrictEqual(ledger.betsOf(1), bets.slice(0, one.acknowledged * chunkBets))
    }
  )
})

describe.concurrent("a disk that fails", () => {
  const failing = FaultyMachine.unavailable
  it.skipIf(failing !== undefined).each(["failSyncs", "failWrites"] as const)(
    `(%s) answers nothing that isn't stored, and work goes on when it is mended${unless(failing)}`,
    async (fault) => {
      using machine = new FaultyMachine()
      await using central = await Central.start({
        agencies: 2,
        environment: machine.environment,
        settings: { ledger: { retryFirstMs: 5, retryMaxMs: 50 } }
      })
      await meetTrouble(
        central,
        () => {
          machine[fault] = true
        },
        () => {
          machine[fault] = false
        }
      )
      assert.isAbove(machine.failures, 3)
      assert.strictEqual((await central.stop()).code, 0)
    }
  )

  it.skipIf(failing !== undefined)(
    `and a server that is killed meanwhile leave nothing that was refused${unless(failing)}`,
    async () => {
      using machine = new FaultyMachine()
      await using central = await Central.start({
        agencies: 1,
        environment: machine.environment,
        settings: { ledger: { retryFirstMs: 5, retryMaxMs: 50 } }
      })
      const bets = sales(1, 10 * chunkBets)
      using one = await numberingClient(central, 1, bets)
      for (let chunk = 0; chunk < 4; chunk++) assert.strictEqual((await one.send()).type_message, 1)
      machine.failSyncs = true
      for (let tries = 0; tries < 3; tries++) assertRefused(await one.send())
      await central.kill()
      machine.failSyncs = false
      await central.start()
      using ledger = new LedgerFile(central.ledgerPath)
      assert.deepStrictEqual(ledger.betsOf(1), bets.slice(0, 4 * chunkBets))
    }
  )
})

describe.concurrent("a ledger that can't be had", () => {
  it.skipIf(SmallDisk.unavailable !== undefined)(
    `because its folder is read-only is named, and nothing listens${unless(SmallDisk.unavailable)}`,
    async () => {
      using disk = new SmallDisk(1024 * 1024)
      const ledgerPath = join(disk.path, "ledger.sqlite")
      await using central = await Central.prepare({
        agencies: 1,
        ledgerPath
      })
      disk.remount("ro")
      await central.spawn()
      assert.strictEqual((await central.ended()).code, 1)
      assert.include(central.errors, ledgerPath)
      assert.include(central.errors, "the server's user may write")
      assert.deepStrictEqual(central.lines("action: accept_connections"), [])
      disk.remount("rw")
      await central.start()
    }
  )

  it("because a second server would share it is named; the first goes on", async () => {
    await using first = await Central.start({ agencies: 1 })
    await using second = await Central.prepare({
      agencies: 1,
      ledgerPath: first.ledgerPath
    })
    await second.spawn()
    assert.strictEqual((await second.ended()).code, 1)
    assert.include(second.errors, `${first.ledgerPath}: the ledger is in use by another process`)
    using agency = await FieldAgency.open(first, 1)
    assert.strictEqual((await agency.work(sales(1, 20, 2), 5)).logged, 20)
  })

  it("because it is damaged is named, left as it is, and not used", async () => {
    await using central = await Central.start({ agencies: 1 })
    using agency = await FieldAgency.open(central, 1)
    await agency.work(sales(1, 2000, 2), 100)
    await central.stop()
    const bytes = readFileSync(central.ledgerPath)
    const cut = bytes.subarray(0, bytes.length / 2)
    writeFileSync(central.ledgerPath, cut)
    await central.spawn()
    assert.strictEqual((await central.ended()).code, 1)
    assert.include(central.errors, `${central.ledgerPath}: `)
    assert.include(central.errors, "the file is damaged")
    assert.isTrue(cut.equals(readFileSync(central.ledgerPath)))
  })

  it("in one chunk holds no draw over it, says so, and goes on serving", async () => {
    await using central = await Central.start({
      agencies: 2,
      settings: { ledger: { retryFirstMs: 5, retryMaxMs: 50 } }
    })
    const first = sales(1, 100, 2)
    using one = await FieldAgency.open(central, 1)
    await one.sendBets(first, 100, true)
    await central.stop()
    const bytes = readFileSync(central.ledgerPath)
    const at = bytes.indexOf(first[40]?.split(",")[2] ?? "")
    assert.isAbove(at, 0)
    bytes[at + 7] = (bytes[at + 7] ?? 0) ^ 1
    writeFileSync(central.ledgerPath, bytes)
    await central.start()
    using two = await numberingClient(central, 2, sales(2, chunkBets))
    assert.strictEqual((await two.send()).type_message, 1)
    const line = await central.waitForLine("action: sorteo | result: fail")
    assert.include(line, "the file is damaged")
    assert.deepStrictEqual(central.lines("action: sorteo | result: success"), [])
    const unwell = await health(central)
    assert.strictEqual(unwell.code, 1)
    assert.match(
      unwell.stderr,
      /not ready: draw: it is due and can't be held \(.*the file is damaged/
    )
    using asking = await Wire.connect(central.betsPort)
    assertRefused(await asking.ask({ type_message: 4, agency: 1 }))
    assert.isTrue(central.running)
  })
})

describe("durability", () => {
  it.skipIf(straceUnavailable !== undefined)(
    `is a sync between a chunk's write to the log and its answer${unless(straceUnavailable)}`,
    async () => {
      await using central = await Central.start({ agencies: 1 })
      using agency = await numberingClient(central, 1, sales(1, 20 * chunkBets))
      await agency.send()
      const trace = join(central.folder, "trace")
      const calls = "trace=fsync,fdatasync,pwrite64,write,writev,sendto,sendmsg"
      const strace = spawn(
        "strace",
        ["-f", "-y", "-s", "64", "-o", trace, "-e", calls, "-p", String(central.pid)],
        { stdio: ["ignore", "ignore", "pipe"] }
      )
      const ended = once(strace, "exit")
      let said = ""
      strace.stderr.setEncoding("utf8").on("data", (text: string) => (said += text))
      try {
        await waitUntil("strace to be attached", () => said.includes("attached"))
        for (let chunk = 0; chunk < 5; chunk++) {
          assert.strictEqual((await agency.send()).type_message, 1)
        }
      } finally {
        strace.kill("SIGINT")
        await within("the end of strace", ended)
      }
      assert.isTrue(existsSync(trace))
      // W: bytes into the log. S: the log synced. A: an answer.
      const story = readFileSync(trace, "utf8").split("\n").map((line) =>
        /pwrite64\(\d+<[^>]*-wal>/.test(line)
          ? "W"
          : /(?:fsync|fdatasync)\(\d+<[^>]*-wal>/.test(line) || /f(?:data)?sync resumed/.test(line)
          ? "S"
          : /\\"type_message\\": 1, \\"payload\\": null/.test(line)
          ? "A"
          : ""
      ).join("")
      assert.lengthOf(story.replace(/[^A]/g, ""), 5, story)
      assert.match(story, /^(?:W+S+A)+$/, story)
    }
  )
})
