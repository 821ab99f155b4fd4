import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import { LogWriter } from "../../../src/services/base/OperatorLog.ts"

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

  it("writes the offset of its time zone in JSON, also when that changes", () => {
    const zone = process.env["TZ"]
    process.env["TZ"] = "America/New_York"
    try {
      // The hour in which clocks go from -04:00 to -05:00.
      vi.useFakeTimers({ now: new Date("2026-11-01T05:59:59.007Z") })
      let text = ""
      const log = new LogWriter({ level: "INFO", format: "json", flushMs: 20 }, (more) => {
        text += more
      })
      log.write("INFO", "config", "success", { workers: 2 })
      vi.setSystemTime(new Date("2026-11-01T06:00:00.999Z"))
      log.write("WARNING", "draw_held", "success")
      log.flush()
      assert.deepStrictEqual(text.split("\n"), [
        "{\"time\":\"2026-11-01T01:59:59.007-04:00\",\"level\":\"INFO\",\"action\":\"config\",\"result\":\"success\",\"workers\":2}",
        "{\"time\":\"2026-11-01T01:00:00.999-05:00\",\"level\":\"WARNING\",\"action\":\"draw_held\",\"result\":\"success\"}",
        ""
      ])
    } finally {
      if (zone === undefined) delete process.env["TZ"]
      else process.env["TZ"] = zone
    }
  })
})
