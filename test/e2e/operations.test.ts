/** docs/OPERATIONS.md: its commands run as written, and its tables of log lines and errors are correct. */
import { assert, describe, it } from "@effect/vitest"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import {
  cpSync,
  existsSync,
  globSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Central, projectFolder } from "../support/Central.ts"
import { FieldAgency } from "../support/FieldAgency.ts"
import { freePort } from "../support/FreePorts.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { waitUntilGone } from "../support/Processes.ts"
import { within } from "../support/WaitUntil.ts"
import { Wire } from "../support/Wire.ts"

const operations = readFileSync(join(projectFolder, "docs/OPERATIONS.md"), "utf8")
/** The documented loops look once a second; here they look more often. */
const hasty = "set -eu -o pipefail\nsleep() { command sleep 0.05; }"
const blocks = [...operations.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, text = ""]) => text)

const sources = globSync("src/**/*.ts", { cwd: projectFolder })
  .map((path) => readFileSync(join(projectFolder, path), "utf8")).join("\n")

/** The first cells of the table under a heading. */
const firstCells = (heading: string): ReadonlyArray<string> =>
  (operations.split(`\n## ${heading}\n`)[1] ?? "").split("\n## ")[0]?.split("\n")
    .filter((line) => line.startsWith("|")).slice(2)
    .map((line) => (line.split(/(?<!\\)\|/)[1] ?? "").trim().replaceAll("\\|", "|")) ?? []

/** What stands in backquotes. */
const quotedIn = (cell: string): ReadonlyArray<string> =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, text = ""]) => text)

describe("docs/OPERATIONS.md", () => {
  it("has commands that do what it says, from top to bottom", async () => {
    assert.isAbove(blocks.length, 10)
    const folder = await mkdtemp(join(tmpdir(), "loteria-operations-"))
    for (const name of ["bin", "src", "node_modules", "package.json"]) {
      symlinkSync(join(projectFolder, name), join(folder, name))
    }
    cpSync(join(projectFolder, "config.yaml"), join(folder, "config.yaml"))
    const bets = await freePort()
    const consult = await freePort()
    const shell = spawn("bash", ["-c", `${hasty}\n${blocks.join("\n")}\nwait`], {
      cwd: folder,
      // A group of its own, so that whatever it has started can be ended.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: process.env["PATH"] ?? "",
        HOME: folder,
        TZ: "UTC",
        // As documented, they win over config.yaml and the agency's defaults: other tests use the usual ports.
        SERVER_PORT: String(bets),
        CONSULT_SERVER_PORT: String(consult),
        OPS_PORT: String(await freePort()),
        CLI_SERVER_ADDRESS: `127.0.0.1:${bets}`,
        CLI_SERVER_CONSULT_ADDRESS: `127.0.0.1:${consult}`
      }
    })
    let output = ""
    for (const stream of [shell.stdout, shell.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => (output += text))
    }
    const log = () =>
      existsSync(join(folder, "central.log"))
        ? readFileSync(join(folder, "central.log"), "utf8")
        : "no log"
    try {
      await within("the end of all commands", once(shell, "close"), 90_000)
        .catch((error) => assert.fail(`${error}\n${output}\n${log()}`))
      assert.strictEqual(shell.exitCode, 0, `${output}\n${log()}`)

      const archive = readdirSync(join(folder, "data")).find((name) =>
        /^ledger-.*\.sqlite$/.test(name)
      ) ?? ""
      using held = new LedgerFile(join(folder, "data", archive))
      const all = [...held.counts().values()].reduce((sum, count) => sum + count, 0)
      assert.strictEqual(all, 2000)
      assert.lengthOf(readFileSync(join(folder, "bets.csv"), "utf8").split("\r\n"), 2001)
      assert.match(output, /^winning number: 1234$/m)
      assert.match(output, /^bets: +0 bets in 0 chunks$/m)
      assert.lengthOf([...output.matchAll(/; 0 problems$/gm)], 3)
      assert.lengthOf(readdirSync(join(folder, "backups")), 1)
      assert.include(readFileSync(join(folder, "compose-12.yaml"), "utf8"), "agency-12:")
      assert.lengthOf([...log().matchAll(/ready \| result: success/g)], 3)
      const stopped = Number(readFileSync(join(folder, "central.pid"), "utf8"))
      await waitUntilGone([stopped])
    } finally {
      try {
        process.kill(-(shell.pid ?? 0), "SIGKILL")
      } catch {
        // Nothing of it is left.
      }
      await rm(folder, { recursive: true, force: true })
    }
  })

  it("waits for a central that starts, and no longer than it lives", async () => {
    const folder = await mkdtemp(join(tmpdir(), "loteria-operations-"))
    for (const name of ["bin", "src", "node_modules", "package.json"]) {
      symlinkSync(join(projectFolder, name), join(folder, name))
    }
    writeFileSync(join(folder, "config.yaml"), "workers: none\n")
    const start = blocks.filter((block) => /^(loteria|ready)\(\)/.test(block))
    assert.lengthOf(start, 2)
    try {
      const shell = spawnSync("bash", ["-c", `${hasty}\n${start.join("\n")}`], {
        cwd: folder,
        encoding: "utf8",
        env: { PATH: process.env["PATH"] ?? "", HOME: folder, TZ: "UTC" },
        timeout: 30_000
      })
      assert.strictEqual(shell.status, 1, shell.stderr)
      assert.include(
        shell.stdout,
        "CRITICAL action: start | result: fail | problem: config.yaml: workers is \"none\""
      )
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })

  it("ends an agency that never finishes with what is stored of it", async () => {
    const section = operations.split("### An agency that never finishes\n")[1] ?? ""
    const commands = [...(section.split("\n#")[0] ?? "").matchAll(/^\$ (.*)$/gm)].map(([, line]) =>
      line
    )
    assert.lengthOf(commands, 2)
    await using central = await Central.start({ agencies: "3,5" })
    const bets = [
      "[\"Ana\",\"Vera, hija\",\"1\",\"2000-01-01\",\"7574\"]",
      "\"Ñandú,Paz,2,2000-01-02,5\""
    ]
    using wire = await Wire.connect(central.betsPort)
    const sent = await wire.ask({
      type_message: 1,
      agency: 5,
      payload: bets.map((bet) => JSON.parse(bet))
    })
    assert.strictEqual(sent.type_message, 1)
    using other = await FieldAgency.open(central, 3)
    await other.sendBets([], 1, true)
    const shell = spawn("bash", [
      "-c",
      `set -eu -o pipefail\nloteria() { "$NODE" "$MAIN" "$@"; }\n${commands.join("\n")}`
    ], {
      cwd: central.folder,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: process.env["PATH"] ?? "",
        HOME: central.folder,
        NODE: process.execPath,
        MAIN: join(projectFolder, "src/main.ts"),
        LEDGER_PATH: central.ledgerPath,
        CLI_SERVER_ADDRESS: `127.0.0.1:${central.betsPort}`,
        CLI_SERVER_CONSULT_ADDRESS: `127.0.0.1:${central.consultPort}`
      }
    })
    let output = ""
    for (const stream of [shell.stdout, shell.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => (output += text))
    }
    await within("the end of the commands", once(shell, "close"), 30_000)
    assert.strictEqual(shell.exitCode, 0, output)
    await central.waitForLine("action: sorteo | result: success")
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual([...ledger.counts()], [[5, 2]])
  })

  it("explains every line that the central logs, and none that it doesn't", () => {
    const logged = new Set(
      [...sources.matchAll(
        /(?:write|#append)\(\s*(?:"[A-Z]+"|[\w.[\] ?"]+),\s*"(\w+)",\s*"(\w+)"/g
      )].map(([, action, result]) => `action: ${action} | result: ${result}`)
    )
    assert.isAbove(logged.size, 15)
    const ofAgencies = /apuestas_enviadas|consulta_ganadores|delivered|refused|resume|superseded/
    const central = [...logged].filter((line) => !ofAgencies.test(line))
    assert.sameMembers(firstCells("Log lines").flatMap(quotedIn), central)
    const section = operations.split("\n## Log lines\n")[1]?.split("\n## ")[0] ?? ""
    for (const line of logged) {
      assert.include(section, line.split(" | ")[0] ?? "", "an agency's line")
    }
  })

  /** The words of the system, of PostgreSQL and of its client. */
  const ofOthers = new Set([
    "ECONNREFUSED",
    "password authentication failed",
    "requested password authentication",
    "permission denied for",
    "prepared statement"
  ])

  it("names errors in the words in which they appear", () => {
    const rows = firstCells("Errors")
    assert.isAbove(rows.length, 15)
    for (const words of rows.flatMap(quotedIn)) {
      assert.isTrue(ofOthers.has(words) || sources.includes(words), words)
    }
  })
})
