import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import {
  decodeSettings,
  loadSettings,
  type SettingsError
} from "../../../src/services/base/Settings.ts"
import { memoryCeiling } from "../../faults/Memory.ts"

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
        if (!/^ {2,4}\w+: \S/.test(line) || /port:|host:/.test(line)) continue
        const above = lines.slice(Math.max(0, index - 2), index).join("")
        assert.isTrue(above.includes("#"), `no comment above ${line.trim()}`)
      }
    }))

  it.effect("takes a draw's name as the text that it is, from a variable also where it reads as a number", () =>
    Effect.gen(function*() {
      const named = { lottery: { draw: "2026-11-24-nocturna" } }
      const { lottery } = yield* decodeSettings("x", named, {})
      assert.strictEqual(lottery.draw, "2026-11-24-nocturna")
      const { lottery: numbered } = yield* decodeSettings("x", named, { DRAW: "0815" })
      assert.strictEqual(numbered.draw, "0815")
      const expected = "must be a name in quotes: 1 to 64 letters, digits"
      for (const draw of [815, new Date(0), "", "a/b", ".a", "x".repeat(65), null]) {
        assert.include(yield* problems({ lottery: { draw } }), expected)
      }
      assert.include(yield* problems({}, { DRAW: "no name" }), "environment variable DRAW")
    }))

  it.effect("names a wrong key with its path, and the known key that is nearest", () =>
    Effect.gen(function*() {
      for (
        const [tree, problem] of [
          [{ ledger: { pathh: "x" } }, "ledger.pathh is not a known key; is ledger.path meant?"],
          [{ conections: {} }, "conections is not a known key; is connections meant?"],
          [
            { winningNumber: 5 },
            "winningNumber is not a known key; is lottery.winningNumber meant?"
          ],
          [
            { port: 5 },
            /^port is not .*; is bets.port or consult.port or operations.port meant\?$/
          ],
          [{ log: { color: "x" } }, "log.color is not a known key; the keys of log are level, "],
          [{ nonsense: 1 }, "nonsense is not a known key; the sections and keys are lottery, bets,"]
        ] as const
      ) {
        if (typeof problem === "string") assert.include(yield* problems(tree), problem)
        else assert.match(yield* problems(tree), problem)
      }
    }))

  it.effect("names a wrong value with its path, what it is and what it may be", () =>
    Effect.gen(function*() {
      for (
        const [tree, problem] of [
          [
            { lottery: { winningNumber: 10000 } },
            "lottery.winningNumber is 10000, but must be an integer from 0 to 9999"
          ],
          [
            { lottery: { agencies: "3,3" } },
            "lottery.agencies is \"3,3\", but must be a number of agencies (5 means 1 to 5) or their ids"
          ],
          [
            { lottery: { agencies: [1, 2] } },
            "lottery.agencies is a list, but must be a number of agencies"
          ],
          [{ lottery: { agencies: true } }, "lottery.agencies is true, but must be a number of"],
          [
            { lottery: { exitWhenServed: "yes" } },
            "lottery.exitWhenServed is \"yes\", but must be true or false"
          ],
          [{ workers: 1.5 }, "workers is 1.5, but must be an integer from 1 to 1024"],
          [{ workers: "many" }, "workers is \"many\", but must be an integer from 1 to 1024"],
          [{ bets: { port: null } }, "bets.port is empty, but must be an integer from 0 to 65535"],
          [{ log: { format: "xml" } }, "log.format is \"xml\", but must be text or json"],
          [
            { log: { level: "loud" } },
            "log.level is \"loud\", but must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"
          ],
          [{ log: { level: 7 } }, "log.level is 7, but must be one of DEBUG, INFO,"],
          [{ ledger: { path: "" } }, "ledger.path is \"\", but must be the path of a file"],
          [{ ledger: { path: {} } }, "ledger.path is a section of keys, but must be the path of"]
        ] as const
      ) {
        const all = yield* problems(tree)
        assert.include(all, problem)
        assert.strictEqual(all.split("\n").length, 1, all)
        assert.notMatch(all, /Expected|property/)
      }
    }))

  it.effect("refuses a file of the wrong shape, also where variables set what is in it", () =>
    Effect.gen(function*() {
      for (const environment of [{}, { AGENCIES: "2" }] as const) {
        assert.match(
          yield* problems({ lottery: [{ winningNumber: 1 }] }, environment),
          /^lottery is a list, but must be a section with keys of these: agencies, winningNumber, /
        )
        assert.match(
          yield* problems({ lottery: 5 }, environment),
          /^lottery is 5, but must be a section/
        )
        for (const [tree, what] of [["word", "\"word\""], [["a"], "a list"], [7, "7"]] as const) {
          assert.include(
            yield* problems(tree, environment),
            `the file is ${what}, but must be a section with keys of these: lottery, bets, `
          )
        }
      }
      assert.include(
        yield* problems({ lottery: { agencies: "none" } }, { AGENCIES: "2" }),
        "lottery.agencies is \"none\", but"
      )
    }))

  it.effect("takes what is left out for its default: keys, sections, all of them", () =>
    Effect.gen(function*() {
      const defaults = yield* decodeSettings("nothing", undefined, {})
      const folder = mkdtempSync(join(tmpdir(), "loteria-"))
      try {
        for (
          const content of [
            "",
            "# lottery:\n#   agencies: 3\n",
            "---\n",
            "ledger:\n  postgres:\n    # pollMs: 5\n",
            "lottery:\n  # all\nbets:\n"
          ]
        ) {
          const path = join(folder, "config.yaml")
          writeFileSync(path, content)
          assert.deepEqual(yield* loadSettings(path, {}), defaults, content)
          const { lottery } = yield* loadSettings(path, { AGENCIES: "2" })
          assert.deepEqual(lottery, { ...defaults.lottery, agencies: lottery.agencies })
          assert.deepEqual(lottery.agencies.map(Number), [1, 2])
        }
      } finally {
        rmSync(folder, { recursive: true })
      }
    }))

  it.effect("names every problem, not only the first", () =>
    Effect.gen(function*() {
      const all = yield* problems({ workers: 0, foo: 1, bets: { port: 70000 } })
      assert.strictEqual(all.split("\n").length, 3)
    }))

  it.effect("names the environment variable that a wrong value comes from", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* problems({}, { SERVER_PORT: "http" }),
        "environment variable SERVER_PORT is \"http\", but must be an integer from 0 to 65535"
      )
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
        OPS_HOST: "0.0.0.0",
        LOGGING_LEVEL: "debug",
        LOG_FORMAT: "json",
        LEDGER_PATH: "/tmp/l",
        AGENCIES: "3,5",
        SERVER_LISTEN_BACKLOG: "5"
      })
      assert.strictEqual(settings.bets.port, 2)
      assert.strictEqual(settings.consult.port, 3)
      assert.strictEqual(settings.operations.port, 4)
      assert.strictEqual(settings.operations.host, "0.0.0.0")
      assert.strictEqual(settings.log.level, "DEBUG")
      assert.strictEqual(settings.log.format, "json")
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
        /^connections\.frameBudgetBytes is 1024, but must be at least connections\.frameBytesMax, which is 2048$/
      )
    }))

  it.effect("refuses a time to end that a database could outlast, where there is one", () =>
    Effect.gen(function*() {
      const tree = { shutdown: { graceMs: 6999 } }
      assert.strictEqual(
        yield* problems(tree, { LEDGER_URL: "postgres://loteria@one/lottery?sslmode=disable" }),
        "shutdown.graceMs is 6999, but must be at least 7000: 2000 more than ledger.postgres.answerDeadlineMs, so that "
          + "a transaction in progress ends, or counts as in doubt, before the server does"
      )
      yield* decodeSettings("config.yaml", tree, {})
      yield* decodeSettings("config.yaml", {}, {
        LEDGER_URL: "postgres://loteria@one/lottery?sslmode=disable"
      })
    }))

  it.effect("refuses two doors on one port, unless on interfaces that differ", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* problems({ bets: { port: 12346 } }),
        "bets.port and consult.port are both 12346, but must differ"
      )
      assert.strictEqual(
        yield* problems({}, { OPS_PORT: "12345" }),
        "bets.port and operations.port are both 12345, but must differ"
      )
      const apart = yield* decodeSettings("config.yaml", {
        bets: { host: "10.0.0.1", port: 1 },
        consult: { host: "10.0.0.2", port: 1 },
        operations: { port: 0 }
      }, {})
      assert.strictEqual(apart.consult.port, 1)
    }))

  it.effect("has a memory ceiling below 4 GiB by default, and the documents name it", () =>
    Effect.gen(function*() {
      const ceiling = memoryCeiling(yield* decodeSettings("config.yaml", {}, {}))
      assert.isBelow(ceiling, 4096)
      for (const name of ["docs/ARCHITECTURE.md", "docs/OPERATIONS.md"]) {
        assert.include(readFileSync(name, "utf8"), `${ceiling.toLocaleString("en-US")} MiB`)
      }
    }))

  it.effect("refuses parsers with too little memory for the longest message, and says how much it takes", () =>
    Effect.gen(function*() {
      assert.match(
        yield* problems({ connections: { frameBytesMax: 16 * 1024 * 1024 } }),
        /parsers\.memoryMb: expected at least 1088 for messages of 16777216 bytes \(64, and 64 for each MiB of connections\.frameBytesMax\), not 384/
      )
      const settings = yield* decodeSettings("config.yaml", {
        connections: { frameBytesMax: 1024 * 1024 },
        parsers: { memoryMb: 128 }
      }, {})
      assert.strictEqual(settings.parsers.memoryMb, 128)
    }))

  it.effect("says which file can't be read, and that one isn't YAML", () =>
    Effect.gen(function*() {
      const missing = yield* Effect.flip(loadSettings("no-such-file.yaml", {}))
      assert.match(missing.message, /no-such-file\.yaml.*--config/)
      const other = yield* Effect.flip(loadSettings("test/services/base/Settings.test.ts", {}))
      assert.match(other.message, /not YAML|but must be/)
    }))
})
