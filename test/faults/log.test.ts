/** The reader of the log stalls. */
import { assert, describe, it } from "@effect/vitest"
import { Central } from "../support/Central.ts"
import { sale } from "../support/Sales.ts"
import { Wire } from "../support/Wire.ts"
import { MemoryWatch } from "./Memory.ts"

const agencies = 8
const chunks = 2500
/** What comes before them in the log is read. */
const linesOfAChunk = ["action: apuesta_recibida", "action: apuestas_almacenadas"] as const

describe("a log that isn't read", () => {
  it(
    "delays no answer, takes no memory, and says what is missing when it is read again",
    async () => {
      await using central = await Central.start({
        agencies,
        settings: { log: { unreadBytesMax: 64 * 1024, flushMs: 5 } }
      })
      const sell = async (agency: number, from: number, to: number): Promise<void> => {
        using wire = await Wire.connect(central.betsPort)
        for (let seq = from; seq <= to; seq++) {
          wire.send({ type_message: 1, agency, seq, payload: [sale(agency, seq)] })
        }
        for (let seq = from; seq <= to; seq++) {
          assert.deepStrictEqual(await wire.answer(30_000), { type_message: 1, payload: null, seq })
        }
      }
      const all = Array.from({ length: agencies }, (_, index) => index + 1)
      // What a server takes once it has worked is no matter of the log.
      await Promise.all(all.map((agency) => sell(agency, 1, 100)))
      const before = central.lines("action: apuesta")
      central.readLog(false)
      using watch = new MemoryWatch(() => [central.pid])
      const idle = watch.look()
      await Promise.all(all.map((agency) => sell(agency, 101, 100 + chunks)))
      assert.isBelow(watch.peak - idle, 64, "MiB beyond what it took")
      central.readLog(true)
      const leftOut = await central.waitForLine("action: log | result: left_out | cantidad: ")
      const missing = Number(/cantidad: (\d+)/.exec(leftOut)?.[1])
      assert.isAbove(missing, 1000)
      // Those that are not missing are there; none is left out from then on.
      await sell(1, 101 + chunks, 110 + chunks)
      const expected = linesOfAChunk.length * (agencies * (100 + chunks) + 10)
      const accepted = 2 * agencies + 1
      const linesKnown = () =>
        central.lines("action: apuesta").length + missing
        + central.lines("action: accept_connections").length - accepted
      // Lines follow their answers by a moment.
      await central.waitUntil("every line", () => linesKnown() >= expected)
      assert.strictEqual(linesKnown(), expected)
      assert.isAbove(central.lines("action: apuesta").length, before.length)
      assert.lengthOf(central.lines("action: log | result: left_out"), 1)
    }
  )
})
