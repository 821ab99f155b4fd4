import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import { LogWriter } from "../../src/services/OperatorLog.ts"

const noon = new Date(2026, 10, 23, 12, 0, 0)

afterEach(() => {
  vi.useRealTimers()
})

describe("LogWriter", () => {
  it("writes lines of one action with their own second, level and result", () => {
    vi.useFakeTimers({ now: noon })
    let text = ""
    const log = new LogWriter({ level: "INFO", format: "text", flushMs: 20 }, (more) => {
      text += more
    })
    const stored = () => log.write("INFO", "apuestas_almacenadas", "success", { cantidad: 2 })
    stored()
    log.write("ERROR", "apuestas_almacenadas", "fail", { problem: "a|b" })
    stored()
    log.write("DEBUG", "apuestas_almacenadas", "success")
    vi.setSystemTime(noon.getTime() + 1000)
    stored()
    log.write("INFO", "config", "success")
    log.flush()
    assert.deepStrictEqual(text.split("\n"), [
      "2026-11-23 12:00:00 INFO     action: apuestas_almacenadas | result: success | cantidad: 2",
      "2026-11-23 12:00:00 ERROR    action: apuestas_almacenadas | result: fail | problem: a/b",
      "2026-11-23 12:00:00 INFO     action: apuestas_almacenadas | result: success | cantidad: 2",
      "2026-11-23 12:00:01 INFO     action: apuestas_almacenadas | result: success | cantidad: 2",
      "2026-11-23 12:00:01 INFO     action: config | result: success",
      ""
    ])
  })
})
