/** An agency from outside: where its bets come from, how it ends, and its display on a terminal. */
import { assert, describe, it } from "@effect/vitest"
import { execFile, execFileSync, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { readFile, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { Central, projectFolder, runMain } from "../support/Central.ts"
import { freePortPair } from "../support/FreePorts.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { Program } from "../support/Program.ts"
import { betFile, sales, winnersOf } from "../support/Sales.ts"
import { screenOf } from "../support/Screen.ts"
import { TemporaryFolder } from "../support/TemporaryFolder.ts"
import { waitUntil, within } from "../support/WaitUntil.ts"

const host = "127.0.0.1"

/** A central for agency 1 alone, on ports that it has again when it is started again. */
const startCentral = async (): Promise<Central> => {
  const port = await freePortPair()
  return Central.start({
    agencies: 1,
    settings: { bets: { host, port }, consult: { host, port: port + 1 } }
  })
}

const addressOf = (central: Central) => `--server=${host}:${central.betsPort}`

const writeBets = (folder: TemporaryFolder, bets: ReadonlyArray<string>): string =>
  folder.write("agency-1.csv", betFile(bets))

/** Nothing else is on standard output. */
const documentsOf = (stdout: string): ReadonlyArray<string> => stdout.split("\n").slice(0, -1)

describe.concurrent("bets", () => {
  it("come from the field's variables when there is no file, one bet and the end", async () => {
    await using central = await startCentral()
    const variables = {
      CLI_ID: "1",
      CLI_SERVER_ADDRESS: `${host}:${central.betsPort}`,
      NOMBRE: "Santiago Lionel",
      APELLIDO: "Lorca",
      DOCUMENTO: "30904465",
      NACIMIENTO: "1999-03-17",
      NUMERO: "7574"
    }
    const { code, stderr, stdout } = await runMain(["agency"], variables)
    assert.strictEqual(code, 0, stderr)
    assert.deepStrictEqual(documentsOf(stdout), ["30904465"])
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(1), ["Santiago Lionel,Lorca,30904465,1999-03-17,7574"])
    const again = await runMain(["agency"], variables)
    assert.deepStrictEqual([again.code, documentsOf(again.stdout)], [0, ["30904465"]])
    const file = await runMain(["agency", "--file", "/nowhere.csv"], variables)
    assert.match(file.stderr, /^loteria: \/nowhere\.csv: /)
    const wrong = await runMain(["agency"], { ...variables, NACIMIENTO: "17-03-1999" })
    assert.deepStrictEqual([wrong.code, wrong.stderr], [
      2,
      "loteria: the bet in the environment: the birthdate (NACIMIENTO) must be a calendar date, YYYY-MM-DD\n"
    ])
  })

  it("come from standard input, also when the central is killed on the way", async () => {
    await using central = await startCentral()
    const bets = sales(1, 2000, 3)
    using agency = new Program(
      ["agency", "--id=1", "--file=-", "--chunk=5", "--window=2", addressOf(central)],
      {},
      "pipe"
    )
    const text = betFile(bets)
    agency.write(text.slice(0, 1001))
    agency.write(text.slice(1001))
    agency.endInput()
    await agency.waitFor("cantidad: 5")
    await central.kill()
    await central.start()
    assert.strictEqual(await agency.ended(), 0, agency.stderr)
    assert.match(agency.stderr, /action: resume \| result: success/)
    assert.deepStrictEqual(documentsOf(agency.stdout), winnersOf(bets))
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(1), bets)
  })
})

describe.concurrent("SIGTERM", () => {
  const log = "action: signal_received | result: success | signal: SIGTERM\n"

  it("in the middle of the file ends it with 75, and started again it goes on", async () => {
    using folder = new TemporaryFolder()
    await using central = await startCentral()
    const bets = sales(1, 3000, 3)
    const flags = ["agency", "--id=1", `--file=${writeBets(folder, bets)}`, addressOf(central)]
    using agency = new Program([...flags, "--chunk=5", "--window=1"])
    await agency.waitFor("cantidad: 5")
    agency.signal("SIGTERM")
    assert.strictEqual(await agency.ended(), 75, agency.stderr)
    assert.include(agency.stderr, log)
    assert.match(
      agency.stderr,
      /\nloteria: agency 1: ended by a signal before its winners were printed; /
    )
    {
      using ledger = new LedgerFile(central.ledgerPath)
      const stored = ledger.betsOf(1)
      assert.isAbove(stored.length, 0)
      assert.isBelow(stored.length, bets.length)
      assert.deepStrictEqual(stored, bets.slice(0, stored.length))
    }
    // With another size of chunk: what counts is the bets.
    const again = await runMain([...flags, "--chunk=77"])
    assert.strictEqual(again.code, 0, again.stderr)
    assert.deepStrictEqual(documentsOf(again.stdout), winnersOf(bets))
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(1), bets)
  })

  it("ends it with 75 while it waits: for its input, for the central, for the draw", async () => {
    using folder = new TemporaryFolder()
    const nowhere = `--server=${host}:${await freePortPair()}`
    using reading = new Program(["agency", "--id=1", "--file=-", nowhere], {}, "pipe")
    reading.write("Ana,Vera,30904465,1999-03-17,1\n")
    const file = `--file=${writeBets(folder, sales(1, 10))}`
    using calling = new Program(["agency", "--id=1", file, nowhere])
    await calling.waitFor("ECONNREFUSED")
    await using central = await Central.start({ agencies: 2 })
    const consultPort = `--consult=${host}:${central.consultPort}`
    using consulting = new Program(["consult", "--id=1", consultPort, "--log-level=debug"])
    await consulting.waitFor("the draw has not been held")
    // By then the one that reads has long installed what it does on signals.
    for (const program of [reading, calling, consulting]) {
      program.signal("SIGTERM")
      assert.strictEqual(await program.ended(5000), 75, program.stderr)
      assert.include(program.stderr, log)
      assert.strictEqual(program.stdout, "")
    }
  })
})

describe.concurrent("several servers", () => {
  it("are tried in turn, for bets and for winners, by flag and by variable", async () => {
    using folder = new TemporaryFolder()
    await using central = await startCentral()
    const bets = sales(1, 100, 3)
    const servers = `${host}:${await freePortPair()},${host}:${central.betsPort}`
    const file = `--file=${writeBets(folder, bets)}`
    const sold = await runMain(["agency", "--id=1", file, `--server=${servers}`])
    assert.strictEqual(sold.code, 0, sold.stderr)
    assert.deepStrictEqual(documentsOf(sold.stdout), winnersOf(bets))
    const moved = `| next: ${host}:`
    assert.include(sold.stderr, `${moved}${central.betsPort}`)
    assert.include(sold.stderr, `${moved}${central.consultPort}`)
    const asked = await runMain(["consult"], { CLI_ID: "1", CLI_SERVER_ADDRESS: servers })
    assert.deepStrictEqual(documentsOf(asked.stdout), winnersOf(bets))
    const consults = `--consult=${host}:9, ${host}:${central.consultPort}`
    const apart = await runMain(["consult", "--id=1", consults])
    assert.deepStrictEqual(documentsOf(apart.stdout), winnersOf(bets))
  })
})

describe.concurrent("two clients of one agency", () => {
  it("both end with its winners, and every bet is stored once", async () => {
    using folder = new TemporaryFolder()
    await using central = await startCentral()
    const bets = sales(1, 3000, 4)
    const flags = ["agency", "--id=1", `--file=${writeBets(folder, bets)}`, addressOf(central)]
    using one = new Program([...flags, "--chunk=5"])
    using two = new Program([...flags, "--chunk=7"])
    for (const program of [one, two]) {
      assert.strictEqual(await program.ended(100_000), 0, program.stderr)
      assert.deepStrictEqual(documentsOf(program.stdout), winnersOf(bets))
    }
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(1), bets)
  })
})

describe.concurrent("consult", () => {
  it("waits for the draw, prints the winners, and prints the same ever after", async () => {
    using folder = new TemporaryFolder()
    await using central = await startCentral()
    const port = `${host}:${central.consultPort}`
    using early = new Program(["consult", "--id=1", `--consult=${port}`, "--log-level=debug"])
    await early.waitFor("the draw has not been held")
    const bets = sales(1, 100, 3)
    const sold = await runMain([
      "agency",
      "--id=1",
      `--file=${writeBets(folder, bets)}`,
      addressOf(central)
    ])
    assert.strictEqual(sold.code, 0, sold.stderr)
    assert.strictEqual(await early.ended(), 0, early.stderr)
    assert.deepStrictEqual(documentsOf(early.stdout), winnersOf(bets))
    const late = await runMain(["consult"], { CLI_ID: "1", CLI_SERVER_CONSULT_ADDRESS: port })
    assert.strictEqual(late.code, 0, late.stderr)
    assert.deepStrictEqual(documentsOf(late.stdout), winnersOf(bets))
    const unknown = await runMain(["consult", "--id=2", addressOf(central)])
    assert.strictEqual(unknown.code, 1)
    assert.match(unknown.stderr, /^loteria: agency 2: UNKNOWN_AGENCY: /)
  })
})

describe.concurrent("README.md", () => {
  it("has the one line that runs an agency against a central on another port", async () => {
    using folder = new TemporaryFolder()
    const readme = await readFile(join(projectFolder, "README.md"), "utf8")
    const [line = "", ...others] = readme.split("\n")
      .filter((text) => text.startsWith("    bin/loteria agency "))
    assert.deepStrictEqual(others, [])
    const port = await freePortPair()
    await using central = await Central.start({
      agencies: "3,",
      settings: { bets: { host, port }, consult: { host, port: port + 1 } }
    })
    // As after `npm ci`, without writing into the project's own folder.
    for (const name of ["bin", "src", "node_modules", "package.json"]) {
      await symlink(join(projectFolder, name), folder.join(name))
    }
    const bets = sales(3, 250, 3)
    await writeFile(folder.join("agency-3.csv"), betFile(bets))
    assert.include(line, "central:22345")
    const command = line.trim().replace("central:22345", `${host}:${port}`)
    const { stderr, stdout } = await promisify(execFile)("sh", ["-c", command], {
      cwd: folder.path,
      env: { PATH: process.env["PATH"], HOME: folder.path, TZ: "UTC" },
      timeout: 30_000
    })
    assert.deepStrictEqual(documentsOf(stdout), winnersOf(bets), stderr)
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(3), bets)
  })

  it("says which exit codes there are, and so does --help", async () => {
    const readme = await readFile(join(projectFolder, "README.md"), "utf8")
    const documented = [...readme.matchAll(/^\| (\d+) +\| /gm)].map(([, code]) => code)
    assert.includeMembers(documented, ["0", "1", "2", "75"])
    for (const command of ["agency", "consult"]) {
      const { stdout } = await runMain([command, "--help"])
      assert.match(stdout, /Exit codes: 0 done, 1 .*, 2 wrong usage, 75 ended by a signal/)
    }
  })
})

/** Util-linux's; other systems have another `script`. */
const hasTerminals = spawnSync("script", ["--version"]).stdout?.includes("util-linux") === true

/** A shell command on a terminal of 100 columns. */
class OnTerminal implements Disposable {
  readonly #child
  readonly #closed: Promise<unknown>
  output = ""

  constructor(folder: TemporaryFolder, command: string) {
    this.#child = spawn("script", ["-qec", `stty cols 100 rows 30; ${command}`, "/dev/null"], {
      cwd: folder.path,
      env: {
        PATH: process.env["PATH"],
        HOME: folder.path,
        TERM: "xterm",
        SHELL: "/bin/sh",
        TZ: "UTC"
      },
      stdio: ["ignore", "pipe", "inherit"]
    })
    this.#child.stdout.setEncoding("utf8").on("data", (text: string) => (this.output += text))
    this.#closed = once(this.#child, "close")
  }

  get screen(): ReadonlyArray<string> {
    return screenOf(this.output)
  }

  /** Waits until the last line on the screen is like that, and gives it. */
  lastLine(expected: RegExp): Promise<string> {
    return waitUntil(`${expected} at the foot of the screen`, () => {
      const line = this.screen.at(-1) ?? ""
      return expected.test(line) && line
    }, 100_000).catch((error) => assert.fail(`${error}\n${this.screen.join("\n")}`))
  }

  async ended(): Promise<number | null> {
    await within(`the end of the agency\n${this.output}`, this.#closed, 50_000)
    return this.#child.exitCode
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL")
  }
}

const loteria = `exec ${process.execPath} ${join(projectFolder, "src/main.ts")}`

describe.skipIf(!hasTerminals)("a terminal", () => {
  it("shows a bar with the rate and the time left, and lines above it; then the winners", async () => {
    using folder = new TemporaryFolder()
    await using central = await startCentral()
    const bets = sales(1, 4000, 2)
    const path = writeBets(folder, bets)
    using terminal = new OnTerminal(
      folder,
      `${loteria} agency --id=1 --file=${path} --chunk=2 --window=1 ${addressOf(central)}`
    )
    assert.strictEqual(await terminal.ended(), 0)
    assert.match(
      terminal.output,
      / \d+% █*░+ [\d,]+ of 4,000 bets, [\d,]+\/s, \d+ s left\r\n/
    )
    const [bar, delivered = "", line = "", ...winners] = terminal.screen
    assert.strictEqual(bar, `100% ${"█".repeat(30)} 4,000 of 4,000 bets`)
    assert.match(delivered, /INFO {5}action: delivered \| result: success/)
    assert.match(line, /INFO {5}action: consulta_ganadores \| result: success/)
    assert.deepStrictEqual(winners, winnersOf(bets))
  })

  it(
    "shows each wait: for bets, for a central that was lost, for the draw; winners go where stdout goes",
    async () => {
      using folder = new TemporaryFolder()
      const port = await freePortPair()
      await using central = await Central.start({
        agencies: 2,
        settings: { bets: { host, port }, consult: { host, port: port + 1 } }
      })
      const bets = sales(1, 6000, 2)
      const path = writeBets(folder, bets)
      execFileSync("mkfifo", [folder.join("fifo")])
      using terminal = new OnTerminal(
        folder,
        `${loteria} agency --id=1 --file=fifo --chunk=2 --window=1 ${addressOf(central)} > winners`
      )
      await terminal.lastLine(/^waiting for the bets(?: \(\d+ s\))?$/)
      await writeFile(folder.join("fifo"), await readFile(path))
      await terminal.lastLine(/of 6,000 bets, [\d,]+\/s, \d+ s left$/)
      await central.kill()
      const lost = await terminal.lastLine(/waiting for the central$/)
      assert.notMatch(lost, /\/s| left/)
      await central.start()
      await terminal.lastLine(/^all delivered, waiting for the draw(?: \(\d+ s\))?$/)
      const other = await runMain([
        "agency",
        "--id=2",
        `--file=${path}`,
        addressOf(central)
      ])
      assert.strictEqual(other.code, 0, other.stderr)
      assert.strictEqual(await terminal.ended(), 0)
      assert.deepStrictEqual(
        documentsOf(await readFile(folder.join("winners"), "utf8")),
        winnersOf(bets)
      )
      assert.isFalse(terminal.screen.some((line) => /^\d{8}$/.test(line)))
    },
    300_000
  )
})
