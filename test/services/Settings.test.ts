import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { decodeSettings, loadSettings, type SettingsError } from "../../src/services/Settings.ts"

const problems = (tree: unknown, environment: Record<string, string> = {}) =>
  decodeSettings("config.yaml", tree, environment).pipe(
    Effect.flip,
    Effect.map((error: SettingsError) => error.problems.join("\n"))
  )

describe("Settings", () => {
  it.effect("the committed config.yaml says the defaults", () =>
    Effect.gen(function*() {
      const committed = yield* loadSettings("config.yaml", {})
      assert.deepEqual(committed, yield* decodeSettings("nothing", undefined, {}))
    }))

  it.effect("every key of config.yaml is explained by a comment or is a port", () =>
    Effect.sync(() => {
      const lines = readFileSync("config.yaml", "utf8").split("\n")
      for (const [index, line] of lines.entries()) {
        if (!/^ {2}\w+: \S/.test(line) || /port:|host:/.test(line)) continue
        const above = lines.slice(Math.max(0, index - 2), index).join("")
        assert.isTrue(above.includes("#"), `no comment above ${line.trim()}`)
      }
    }))

  it.effect("names a wrong key with its path", () =>
    Effect.gen(function*() {
      assert.match(yield* problems({ ledger: { pathh: "x" } }), /ledger\.pathh/)
      assert.match(yield* problems({ worker: 3 }), /^worker:/)
    }))

  it.effect("names a wrong value with its path and what was expected", () =>
    Effect.gen(function*() {
      assert.match(
        yield* problems({ lottery: { winningNumber: 10000 } }),
        /lottery\.winningNumber: .*integer from 0 to 9999/
      )
      assert.match(
        yield* problems({ lottery: { agencies: "3,3" } }),
        /lottery\.agencies: .*agencies/
      )
      assert.match(yield* problems({ workers: 1.5 }), /workers: .*integer from 1 to 1024/)
      assert.match(yield* problems({ log: { format: "xml" } }), /log\.format: .*text/)
    }))

  it.effect("names every problem, not only the first", () =>
    Effect.gen(function*() {
      const all = yield* problems({ workers: 0, foo: 1, bets: { port: 70000 } })
      assert.strictEqual(all.split("\n").length, 3)
    }))

  it.effect("names the environment variable that a wrong value comes from", () =>
    Effect.gen(function*() {
      assert.match(yield* problems({}, { SERVER_PORT: "http" }), /environment variable SERVER_PORT/)
      assert.match(
        yield* problems({}, { LOGGING_LEVEL: "loud" }),
        /environment variable LOGGING_LEVEL/
      )
    }))

  it.effect("lets the field's environment variables override the file", () =>
    Effect.gen(function*() {
      const settings = yield* decodeSettings("config.yaml", { bets: { port: 1 } }, {
        SERVER_PORT: "2",
        CONSULT_SERVER_PORT: "3",
        OPS_PORT: "4",
        LOGGING_LEVEL: "debug",
        LEDGER_PATH: "/tmp/l",
        AGENCIES: "3,5",
        SERVER_LISTEN_BACKLOG: "5"
      })
      assert.strictEqual(settings.bets.port, 2)
      assert.strictEqual(settings.consult.port, 3)
      assert.strictEqual(settings.operations.port, 4)
      assert.strictEqual(settings.log.level, "DEBUG")
      assert.strictEqual(settings.ledger.path, "/tmp/l")
      assert.deepEqual([...settings.lottery.agencies].map(Number), [3, 5])
      assert.strictEqual(settings.connections.listenBacklog, 511)
    }))

  it.effect("takes an empty environment variable for one that isn't set", () =>
    Effect.gen(function*() {
      const settings = yield* decodeSettings("config.yaml", {}, { SERVER_PORT: "" })
      assert.strictEqual(settings.bets.port, 12345)
    }))

  it.effect("refuses limits that contradict each other", () =>
    Effect.gen(function*() {
      assert.match(
        yield* problems({ connections: { frameBytesMax: 2048, frameBudgetBytes: 1024 } }),
        /connections\.frameBudgetBytes: expected at least connections\.frameBytesMax/
      )
    }))

  it.effect("says which file can't be read, and that one isn't YAML", () =>
    Effect.gen(function*() {
      const missing = yield* Effect.flip(loadSettings("no-such-file.yaml", {}))
      assert.match(missing.message, /no-such-file\.yaml.*--config/)
      const other = yield* Effect.flip(loadSettings("test/services/Settings.test.ts", {}))
      assert.match(other.message, /not YAML|Expected/)
    }))
})
