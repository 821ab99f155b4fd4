/** A wall clock that jumps, back and forth by days, changes nothing but the times in the log. */
import { assert, describe, it } from "@effect/vitest"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Central } from "../support/Central.ts"
import { FieldAgency } from "../support/FieldAgency.ts"
import { freePort } from "../support/FreePorts.ts"
import { Program } from "../support/Program.ts"
import { betFile, sales, winnersOf } from "../support/Sales.ts"
import { waitUntil } from "../support/WaitUntil.ts"
import { Wire } from "../support/Wire.ts"
import { FaultyMachine } from "./FaultyMachine.ts"

const day = 24 * 60 * 60
const frameDeadlineMs = 800
const failing = FaultyMachine.unavailable
const unless = failing === undefined ? "" : ` (skipped: ${failing})`

describe("a clock that jumps", () => {
  it.skipIf(failing !== undefined)(
    `leaves deadlines, idle connections and answers as they are${unless}`,
    async () => {
      using machine = new FaultyMachine()
      await using central = await Central.start({
        agencies: 1,
        environment: machine.environment,
        settings: { connections: { frameDeadlineMs, answerDeadlineMs: frameDeadlineMs } }
      })
      const bets = sales(1, 60, 4)
      using agency = await FieldAgency.open(central, 1)
      using idle = await Wire.connect(central.consultPort)
      const days = new Set<string>()
      for (const [index, seconds] of [2 * day, -2 * day, 0].entries()) {
        using slow = await Wire.connect(central.betsPort)
        const start = performance.now()
        slow.sendBytes([0, 0])
        machine.clockSeconds = seconds
        assert.strictEqual(
          await agency.sendBets(bets.slice(20 * index, 20 * index + 20), 5, index === 2),
          20
        )
        assert.isTrue(slow.open, "a frame's deadline was over at once")
        const [refusal] = await slow.closed()
        assert.strictEqual(refusal?.["code"], "TIMEOUT")
        const ms = performance.now() - start
        assert.isAbove(ms, frameDeadlineMs - 50)
        assert.isBelow(ms, 3 * frameDeadlineMs + 1000)
        assert.isTrue(idle.open)
        days.add(central.log.trimEnd().split("\n").at(-1)?.slice(0, 10) ?? "")
      }
      assert.strictEqual(days.size, 3, "the clock didn't jump")
      assert.deepStrictEqual(await agency.consult(), winnersOf(bets))
      idle.send({ type_message: 3, agency: 1, payload: null })
      assert.deepStrictEqual(
        (await idle.closed()).map(({ payload }) => payload),
        [winnersOf(bets).join(",")]
      )
      const ending = await central.stop()
      assert.strictEqual(ending.code, 0)
      assert.isBelow(ending.ms, 3000)
    }
  )

  it.skipIf(failing !== undefined)(
    `doesn't make an agency give up that waits for the central${unless}`,
    async () => {
      using machine = new FaultyMachine()
      const host = "127.0.0.1"
      const [betsPort, consultPort] = [await freePort(), await freePort()]
      await using central = await Central.prepare({
        agencies: 1,
        settings: { bets: { host, port: betsPort }, consult: { host, port: consultPort } }
      })
      const bets = sales(1, 20, 2)
      const file = join(central.folder, "agency-1.csv")
      await writeFile(file, betFile(bets))
      const ports = [`--server=${host}:${betsPort}`, `--consult=${host}:${consultPort}`]
      using agency = new Program(
        ["agency", "--id=1", `--file=${file}`, ...ports],
        machine.environment
      )
      const tries = () => agency.stderr.split("action: apuestas_enviadas | result: fail").length - 1
      await waitUntil("tries", () => tries() >= 2)
      // Longer than it waits for a central that is away.
      machine.clockSeconds = 3 * day
      const before = tries()
      await waitUntil("more tries", () => tries() >= before + 2, 20_000)
      machine.clockSeconds = -3 * day
      await central.start()
      assert.strictEqual(await agency.ended(30_000), 0, agency.stdout + agency.stderr)
      for (const document of winnersOf(bets)) assert.include(agency.stdout, document)
    }
  )
})
