/** An agency's bet file from outside: which files are accepted, how bad ones are refused, and that no draw gets another's bets. */
import { assert, describe, it } from "@effect/vitest"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import {
  appendFileSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  truncateSync
} from "node:fs"
import { mkdir, open, rm, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Central, projectFolder, runMain } from "../support/Central.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { Program } from "../support/Program.ts"
import { betFile, sales, winnersOf } from "../support/Sales.ts"
import { ScriptedCentral } from "../support/ScriptedCentral.ts"
import { TemporaryFolder } from "../support/TemporaryFolder.ts"
import { waitUntil, within } from "../support/WaitUntil.ts"

const portsOf = (central: Central) => [
  `--server=127.0.0.1:${central.betsPort}`,
  `--consult=127.0.0.1:${central.consultPort}`
]

/** What a process has open; what it closes meanwhile is left out. */
const openFiles = (pid: number): ReadonlyArray<string> =>
  readdirSync(`/proc/${pid}/fd`).flatMap((descriptor) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${descriptor}`)]
    } catch {
      return []
    }
  })

/** Nobody listens there. */
const nowhere = ["--server=127.0.0.1:9", "--consult=127.0.0.1:9"]

describe.concurrent("bets that can be read only once", () => {
  const bets = sales(1, 1500, 3)

  it("come through a FIFO, which is waited for", async () => {
    using folder = new TemporaryFolder()
    await using central = await Central.start({ agencies: 1 })
    const fifo = folder.join("bets")
    execFileSync("mkfifo", [fifo])
    using agency = new Program(["agency", "--id=1", `--file=${fifo}`, ...portsOf(central)])
    // Opening it to write waits until the agency has opened it to read.
    const writer = await within("the agency to read", open(fifo, "w"), 15_000)
    await writer.writeFile(betFile(bets))
    await writer.close()
    assert.strictEqual(await agency.ended(), 0, agency.stderr)
    assert.deepStrictEqual(agency.stdout.split("\n").slice(0, -1), winnersOf(bets))
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(1), bets)
    assert.deepStrictEqual(folder.names, ["bets"])
  })

  it("through a FIFO that nobody writes to are waited for until one SIGTERM", async () => {
    using folder = new TemporaryFolder()
    const fifo = folder.join("bets")
    execFileSync("mkfifo", [fifo])
    using agency = new Program(["agency", "--id=1", `--file=${fifo}`, ...nowhere])
    // It has opened it without waiting for who writes.
    await waitUntil("the agency to read", () => openFiles(agency.pid).includes(fifo), 15_000)
    agency.signal("SIGTERM")
    assert.strictEqual(await agency.ended(5000), 75, agency.stderr)
  })

  for (
    const [what, command] of [
      ["a shell's <(…)", "agency --file <(cat agency-1.csv)"],
      ["/dev/stdin", "cat agency-1.csv | agency --file /dev/stdin"],
      ["/dev/stdin that is a file", "agency --file /dev/stdin < agency-1.csv"]
    ] as const
  ) {
    it(`come through ${what}`, async () => {
      using folder = new TemporaryFolder()
      await using central = await Central.start({ agencies: 1 })
      folder.write("agency-1.csv", betFile(bets))
      const main = `"${process.execPath}" "${join(projectFolder, "src/main.ts")}"`
      const flags = ["agency", "--id=1", ...portsOf(central)].join(" ")
      const shell = spawn("bash", ["-c", `agency() { ${main} ${flags} "$@"; }; ${command}`], {
        cwd: folder.path,
        env: { PATH: process.env["PATH"], HOME: folder.path, TZ: "UTC" },
        stdio: ["ignore", "ignore", "pipe"]
      })
      let log = ""
      shell.stderr.setEncoding("utf8").on("data", (text: string) => (log += text))
      await within("the end of the agency", once(shell, "close"), 20_000)
      assert.strictEqual(shell.exitCode, 0, log)
      using ledger = new LedgerFile(central.ledgerPath)
      assert.deepStrictEqual(ledger.betsOf(1), bets)
    })
  }
})

describe.concurrent("a bet file without bets", () => {
  it("is refused, and finishes its agency when --empty says that it is meant", async () => {
    using folder = new TemporaryFolder()
    await using central = await Central.start({ agencies: 1 })
    const file = folder.write("agency-1.csv", "")
    const flags = ["agency", "--id=1", ...portsOf(central)]
    for (const source of [file, "/dev/null", "-"]) {
      const refused = await runMain([...flags, `--file=${source}`])
      assert.strictEqual(refused.code, 1)
      assert.match(
        refused.stderr,
        /^loteria: .*: it has no bets; an agency .* says so with --empty\n$/
      )
    }
    using ledger = new LedgerFile(central.ledgerPath)
    assert.isFalse(ledger.finished().includes(1))
    const meant = await runMain([...flags, `--file=${file}`, "--empty"])
    assert.deepStrictEqual([meant.code, meant.stdout], [0, ""], meant.stderr)
    assert.deepStrictEqual(ledger.finished(), [1])
    assert.deepStrictEqual(ledger.betsOf(1), [])
  })
})

describe.concurrent("a bet file that is changed while it is sent", () => {
  const bets = sales(1, 20_000)
  const text = betFile(bets)
  /** Where a line ends, far enough into the file that it isn't read yet. */
  const half = text.indexOf("\n", 400_000) + 1

  for (
    const [what, change] of [
      ["shrinks", (path: string) => truncateSync(path, Buffer.byteLength(text.slice(0, half)))],
      ["shrinks within a line", (path: string) => truncateSync(path, 400_001)],
      ["grows", (path: string) => appendFileSync(path, betFile(sales(2, 3)))]
    ] as const
  ) {
    it(`and ${what} doesn't finish its agency`, async () => {
      using folder = new TemporaryFolder()
      await using central = await Central.start({ agencies: 1 })
      const path = folder.write("agency-1.csv", text)
      using agency = new Program([
        "agency",
        "--id=1",
        `--file=${path}`,
        "--chunk=20",
        "--window=1",
        ...portsOf(central)
      ])
      await agency.waitFor("cantidad: 20")
      change(path)
      assert.strictEqual(await agency.ended(40_000), 1, agency.stderr)
      assert.match(
        agency.stderr,
        /^loteria: agency 1: the bet file was changed while it was sent: /m
      )
      assert.strictEqual(agency.stdout, "")
      using ledger = new LedgerFile(central.ledgerPath)
      assert.deepStrictEqual(ledger.finished(), [])
      const stored = ledger.betsOf(1)
      assert.deepStrictEqual(stored, bets.slice(0, stored.length))
    })
  }
})

describe.concurrent("agency --check", () => {
  it("looks a file over without a central, and names every bad line with the rule", async () => {
    using folder = new TemporaryFolder()
    const good = folder.write("agency-1.csv", betFile(sales(1, 300)))
    const checked = await runMain(["agency", "--check", good])
    assert.deepStrictEqual([checked.code, checked.stdout, checked.stderr], [
      0,
      `${good}: 300 bets, nothing wrong\n`,
      ""
    ])
    const bad = folder.write(
      "agency-1.csv",
      "nombre;apellido;documento;nacimiento;numero\r\nAna;Vera;30904465;1999-03-17;1\r\n"
        + "Ana,Vera,30.904.465,1999-03-17,1\r\n\r\n"
    )
    const refused = await runMain(["agency", "--check", bad])
    assert.deepStrictEqual([refused.code, refused.stdout], [1, ""])
    assert.strictEqual(
      refused.stderr,
      `loteria: ${bad}: 4 lines are not bets; correct them and start again
  line 1: 1 field instead of 5
  line 2: 1 field instead of 5
  line 3: the document must be 1 to 20 letters and digits
  line 4: the line is empty
  hint: fields are separated by semicolons, as a spreadsheet in Spanish saves CSV: separate them with commas
  hint: line 1 looks like a header: remove it
  hint: the file ends with empty lines: remove them
`
    )
    // The same before anything is sent.
    const sent = await runMain(["agency", "--id=1", `--file=${bad}`, ...nowhere])
    assert.deepStrictEqual([sent.code, sent.stderr], [1, refused.stderr])
    assert.deepStrictEqual(folder.names, ["agency-1.csv"])
  })
})

describe.concurrent("the draw that bets were begun in", () => {
  const bets = sales(1, 250, 2)
  const addressOf = ({ address: { host, port } }: ScriptedCentral) => [
    `--server=${host}:${port}`,
    `--consult=${host}:${port}`
  ]
  const start = async (draw: string | undefined) => {
    const central = await ScriptedCentral.start()
    central.draw = draw
    central.winners = winnersOf(bets)
    return central
  }
  const agency = (central: ScriptedCentral, ...more: ReadonlyArray<string>) =>
    runMain(["agency", "--id=1", ...addressOf(central), ...more])

  it("is kept beside the file, before the first chunk, and the same draw is gone on with", async () => {
    using folder = new TemporaryFolder()
    await using central = await start("monday")
    const file = `--file=${folder.write("agency-1.csv", betFile(bets))}`
    const state = folder.join("agency-1.csv.loteria.json")
    let atFirstChunk = ""
    central.react = ({ type_message }) => {
      if (type_message !== 4 && atFirstChunk === "") atFirstChunk = readFileSync(state, "utf8")
      return "serve"
    }
    for (let run = 0; run < 2; run++) {
      const { code, stderr, stdout } = await agency(central, file)
      assert.strictEqual(code, 0, stderr)
      assert.deepStrictEqual(stdout.split("\n").slice(0, -1), winnersOf(bets))
    }
    assert.deepStrictEqual(JSON.parse(atFirstChunk), { agency: 1, draw: "monday" })
    assert.strictEqual(statSync(state).mode & 0o777, 0o600)
    assert.deepStrictEqual(folder.names, ["agency-1.csv", "agency-1.csv.loteria.json"])
    assert.lengthOf(central.chunks(), 3)
  })

  it("of a real central is not the next one after ledger begin: no bet is sold twice", async () => {
    using folder = new TemporaryFolder()
    const settings = (draw: string) => ({ agencies: 1, settings: { lottery: { draw } } })
    await using central = await Central.start(settings("monday"))
    const file = `--file=${folder.write("agency-1.csv", betFile(bets))}`
    const sell = () => runMain(["agency", "--id=1", file, ...portsOf(central)])
    for (let run = 0; run < 2; run++) {
      const { code, stderr, stdout } = await sell()
      assert.deepStrictEqual([code, stdout.split("\n").slice(0, -1)], [0, winnersOf(bets)], stderr)
    }
    await central.stop()
    await central.configure(settings("tuesday"))
    const begun = await runMain(["ledger", "begin", "--config", central.configPath])
    assert.strictEqual(begun.code, 0, begun.stderr)
    await central.start()
    const { code, stderr, stdout } = await sell()
    assert.deepStrictEqual([code, stdout], [1, ""])
    assert.match(stderr, /for draw monday \(.*\), and the central holds draw tuesday/)
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.seqs(1), [])
  })

  it("is not that of another central: nothing is sent, and both names are told", async () => {
    using folder = new TemporaryFolder()
    const path = folder.write("agency-1.csv", betFile(bets))
    {
      await using monday = await start("monday")
      assert.strictEqual((await agency(monday, `--file=${path}`)).code, 0)
    }
    await symlink(path, folder.join("link.csv"))
    await using tuesday = await start("tuesday")
    for (
      const [name, more] of [
        ["agency-1.csv", []],
        ["link.csv", []],
        ["agency-1.csv", ["--draw=tuesday"]]
      ] as const
    ) {
      const { code, stderr } = await agency(tuesday, `--file=${folder.join(name)}`, ...more)
      assert.strictEqual(code, 1)
      assert.include(stderr, "these bets are for draw monday")
      assert.include(stderr, "the central holds draw tuesday. Nothing more was sent.")
      assert.include(stderr, `remove ${path}.loteria.json and start again`)
    }
    await using old = await start(undefined)
    assert.include((await agency(old, `--file=${path}`)).stderr, "and the central names none")
    assert.deepStrictEqual([...tuesday.chunks(), ...old.chunks()], [])
    // A new file in the place of the old one.
    await rm(`${path}.loteria.json`)
    assert.strictEqual((await agency(tuesday, `--file=${path}`)).code, 0)
    assert.lengthOf(tuesday.bets, bets.length)
  })

  it("is noticed to have changed while the agency runs, also for bets from standard input", async () => {
    await using central = await start("monday")
    central.react = ({ seq }) => {
      if (seq !== 2) return "serve"
      central.draw = "tuesday"
      central.bets.length = central.seq = 0
      return "cut"
    }
    using program = new Program(
      ["agency", "--id=1", "--file=-", "--window=1", ...addressOf(central)],
      {},
      "pipe"
    )
    program.write(betFile(bets))
    program.endInput()
    assert.strictEqual(await program.ended(), 1)
    assert.include(
      program.stderr,
      "for draw monday (as the central said before), and the central holds draw tuesday"
    )
    assert.deepStrictEqual(central.bets, [])
  })

  it("that --draw names is the only one that gets the bets, also from standard input", async () => {
    await using central = await start("monday")
    for (const [draw, code] of [["tuesday", 1], ["monday", 0]] as const) {
      using program = new Program(
        ["agency", "--id=1", "--file=-", `--draw=${draw}`, ...addressOf(central)],
        {},
        "pipe"
      )
      program.write(betFile(bets))
      program.endInput()
      assert.strictEqual(await program.ended(), code, program.stderr)
      if (code === 1) {
        assert.include(
          program.stderr,
          "for draw tuesday (--draw), and the central holds draw monday"
        )
      }
    }
    assert.lengthOf(central.bets, bets.length)
    const wrong = await agency(central, "--draw=../monday")
    assert.strictEqual(wrong.code, 2)
  })

  it("can be kept elsewhere; where it can't be kept nothing is sent, unless --draw names it", async () => {
    using folder = new TemporaryFolder()
    await using central = await start("monday")
    const file = `--file=${folder.write("agency-1.csv", betFile(bets))}`
    const state = folder.join("nowhere", "state.json")
    const refused = await agency(central, file, `--state=${state}`)
    assert.strictEqual(refused.code, 1)
    assert.include(refused.stderr, `${state}: there is no such file or folder. Nothing was sent. `)
    assert.include(refused.stderr, "--draw NAME")
    assert.deepStrictEqual(central.chunks(), [])
    assert.strictEqual((await agency(central, file, `--state=${state}`, "--draw=monday")).code, 0)
    // All is stored: there is nothing more to protect.
    assert.strictEqual((await agency(central, file, `--state=${state}`)).code, 0)
    central.bets.length = central.seq = 0
    central.finished = false
    await mkdir(folder.join("nowhere"))
    assert.strictEqual((await agency(central, file, `--state=${state}`)).code, 0)
    assert.deepStrictEqual(JSON.parse(readFileSync(state, "utf8")), { agency: 1, draw: "monday" })
    assert.deepStrictEqual(folder.names, ["agency-1.csv", "nowhere"])
  })

  it("is refused when its file is damaged, too large, of another agency, or can't be read", async () => {
    using folder = new TemporaryFolder()
    await using central = await start("monday")
    const file = `--file=${folder.write("agency-1.csv", betFile(bets))}`
    const state = folder.join("agency-1.csv.loteria.json")
    for (
      const [text, problem] of [
        ["", "it is damaged, or not a file of this program"],
        ["{\"agency\": 1, \"draw\": \"mon", "it is damaged, or not a file of this program"],
        ["{\"agency\": 1}", "it is damaged, or not a file of this program"],
        [
          `{"agency": 1, "draw": "monday"}${" ".repeat(5000)}`,
          "it is damaged, or not a file of this program"
        ],
        ["{\"agency\": 2, \"draw\": \"monday\"}", "it is of agency 2, and this is agency 1"]
      ] as const
    ) {
      await writeFile(state, text)
      const { code, stderr } = await agency(central, file)
      assert.strictEqual(code, 1)
      assert.include(stderr, `loteria: ${state}: ${problem}`)
    }
    await rm(state)
    await mkdir(state)
    assert.include(
      (await agency(central, file)).stderr,
      `loteria: ${state}: a folder, not a file. `
    )
    assert.strictEqual(central.connections, 0)
  })

  it("is not asked for by a central from before draws had names", async () => {
    using folder = new TemporaryFolder()
    await using central = await start(undefined)
    const file = `--file=${folder.write("agency-1.csv", betFile(bets))}`
    assert.strictEqual((await agency(central, file)).code, 0)
    assert.deepStrictEqual(folder.names, ["agency-1.csv"])
    assert.include(
      (await agency(central, file, "--draw=monday")).stderr,
      "and the central names none"
    )
  })
})
