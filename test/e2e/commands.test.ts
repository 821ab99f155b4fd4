/** The command line from outside: what people and scripts see of it, and its exit codes. */
import { assert, describe, it } from "@effect/vitest"
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import packageJson from "../../package.json" with { type: "json" }
import { Central, runMain } from "../support/Central.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { messagesOf, Program } from "../support/Program.ts"
import { betFile, csvLine, sales, winnersOf } from "../support/Sales.ts"
import { TemporaryFolder } from "../support/TemporaryFolder.ts"

const writeBetFile = (
  folder: TemporaryFolder,
  agency: number,
  bets: ReadonlyArray<string>
): string => folder.write(`agency-${agency}.csv`, betFile(bets))

describe.concurrent("loteria", () => {
  it("says its version, and which commands there are", async () => {
    const version = await runMain(["--version"])
    assert.strictEqual(version.code, 0)
    assert.include(version.stdout, packageJson.version)
    const help = await runMain(["--help"])
    assert.strictEqual(help.code, 0)
    for (const command of ["serve", "agency", "consult", "results", "export", "generate", "demo"]) {
      assert.match(help.stdout, new RegExp(`^ +${command} `, "m"))
    }
  })

  it("ends with 2 when it is used wrongly, and says how", async () => {
    for (
      const [args, complaint] of [
        [["sell"], "sell"],
        [["agency"], "--id"],
        [["agency", "--id", "0"], "id"],
        [["agency", "--id", "3", "--server", "central"], "HOST:PORT"],
        [["agency", "--id", "3", "--server", "central:1,"], "HOST:PORT"],
        [["consult", "--id", "3", "--consult", Array(17).fill("a:1").join()], "up to 16"],
        [["agency", "--id", "3", "--chunk", "0"], "chunk"],
        [["generate", "--agencies", "many"], "agencies"],
        [["export", "--format", "xml"], "csv"]
      ] as const
    ) {
      const { code, stderr } = await runMain(args)
      assert.strictEqual(code, 2, args.join(" "))
      assert.include(stderr, complaint)
    }
  })
})

describe.concurrent("generate", () => {
  it("writes the same files for the same seed, all bets among them", async () => {
    using folder = new TemporaryFolder()
    const files = async (seed: number, out: string) => {
      const flags = ["--agencies", "3", "--bets", "1000", "--seed", String(seed), "--out", out]
      const { code, stderr } = await runMain(["generate", ...flags])
      assert.strictEqual(code, 0, stderr)
      const names = await readdir(out)
      assert.deepStrictEqual(names, ["agency-1.csv", "agency-2.csv", "agency-3.csv"])
      return (await Promise.all(names.map((name) => readFile(join(out, name), "utf8")))).join("")
    }
    const first = await files(7, folder.join("a"))
    assert.strictEqual(first.split("\r\n").length, 1001)
    assert.strictEqual(await files(7, folder.join("b")), first)
    assert.notStrictEqual(await files(8, folder.join("c")), first)
  })

  it("with --keep writes only the files that aren't there", async () => {
    using folder = new TemporaryFolder()
    const out = folder.join("kept")
    await mkdir(out)
    await writeFile(join(out, "agency-2.csv"), "sold by hand")
    const run = () =>
      runMain(["generate", "--agencies", "3", "--bets", "300", "--out", out, "--keep"])
    const first = await run()
    assert.strictEqual(first.code, 0, first.stderr)
    assert.notInclude(first.stdout, "agency-2.csv")
    assert.deepStrictEqual(await readdir(out), ["agency-1.csv", "agency-2.csv", "agency-3.csv"])
    assert.strictEqual(await readFile(join(out, "agency-2.csv"), "utf8"), "sold by hand")
    assert.deepStrictEqual(await run(), { code: 0, stdout: "", stderr: "" })
  })
})

describe.concurrent("agency", () => {
  it("says so at once when its file is missing or wrong, and sends nothing", async () => {
    using folder = new TemporaryFolder()
    // Nobody listens there: an agency that connected first would try for a day.
    const nowhere = ["--server", "127.0.0.1:9"]
    const missing = await runMain(["agency", "--id", "3", "--file", "/nowhere.csv", ...nowhere])
    assert.strictEqual(missing.code, 1)
    assert.strictEqual(missing.stderr, "loteria: /nowhere.csv: there is no such file or folder\n")
    const path = writeBetFile(folder, 3, [...sales(3, 5), "Ana,Vera,30904465,1999-02-30,1"])
    const wrong = await runMain(["agency", "--id", "3", "--file", path, ...nowhere])
    assert.strictEqual(wrong.code, 1)
    assert.strictEqual(
      wrong.stderr,
      `loteria: ${path}: line 6: the birthdate must be a calendar date, YYYY-MM-DD; correct the line and start again\n`
    )
  })

  it("takes the field's variables, delivers, and prints its winners after its log", async () => {
    using folder = new TemporaryFolder()
    await using central = await Central.start({ agencies: "3," })
    const bets = sales(3, 250, 3)
    const { code, stderr, stdout } = await runMain(
      ["agency", "--file", writeBetFile(folder, 3, bets)],
      {
        CLI_ID: "3",
        CLI_SERVER_ADDRESS: `127.0.0.1:${central.betsPort}`,
        CLI_SERVER_CONSULT_ADDRESS: `127.0.0.1:${central.consultPort}`,
        CLI_BATCH_MAXAMOUNT: "7",
        CHUNK_SIZE: "100",
        CLI_LOG_LEVEL: "info"
      }
    )
    assert.strictEqual(code, 0, stderr)
    const sent = (count: number) =>
      `action: apuestas_enviadas | result: success | agencia: 3 | cantidad: ${count}`
    assert.deepStrictEqual(messagesOf(stderr), [
      sent(100),
      sent(100),
      sent(50),
      "action: delivered | result: success | agencia: 3 | cantidad: 250 | detail: all delivered, waiting for the draw",
      "action: consulta_ganadores | result: success | cant_ganadores: 3"
    ])
    assert.deepStrictEqual(messagesOf(stdout), winnersOf(bets))
    for (const line of stderr.split("\n").slice(0, 5)) {
      assert.match(line, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO {5}action: /)
    }
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(3), bets)
  })

  it("ends with 75 on SIGTERM, and started again it goes on and gets its winners", async () => {
    using folder = new TemporaryFolder()
    await using central = await Central.start({ agencies: 2 })
    const files = [sales(1, 120, 2), sales(2, 30)]
    const paths = [writeBetFile(folder, 1, files[0] ?? []), writeBetFile(folder, 2, files[1] ?? [])]
    const agency = (id: number) =>
      new Program([
        "agency",
        `--id=${id}`,
        `--file=${paths[id - 1]}`,
        `--server=127.0.0.1:${central.betsPort}`,
        `--consult=127.0.0.1:${central.consultPort}`
      ])
    using interrupted = agency(1)
    await interrupted.waitFor("cantidad: 20")
    interrupted.signal("SIGTERM")
    assert.strictEqual(await interrupted.ended(), 75, interrupted.stderr)
    assert.include(
      interrupted.stderr,
      "action: signal_received | result: success | signal: SIGTERM\n"
    )
    using again = agency(1)
    using other = agency(2)
    assert.strictEqual(await other.ended(), 0, other.stderr)
    assert.strictEqual(await again.ended(), 0, again.stderr)
    assert.deepStrictEqual(again.messages, [
      "action: resume | result: success | agencia: 1 | seq: 2 | cantidad: 120",
      "action: delivered | result: success | agencia: 1 | cantidad: 120 | detail: all delivered, waiting for the draw",
      "action: consulta_ganadores | result: success | cant_ganadores: 2"
    ])
    assert.deepStrictEqual(messagesOf(again.stdout), winnersOf(files[0] ?? []))
    assert.include(other.stderr, "cant_ganadores: 0")
    assert.strictEqual(other.stdout, "")
  })

  it("refuses to go on with another file than it began with", async () => {
    using folder = new TemporaryFolder()
    await using central = await Central.start({ agencies: 2 })
    const deliver = async (bets: ReadonlyArray<string>) =>
      new Program([
        "agency",
        "--id=1",
        `--file=${writeBetFile(folder, 1, bets)}`,
        `--server=127.0.0.1:${central.betsPort}`,
        `--consult=127.0.0.1:${central.consultPort}`
      ])
    using first = await deliver(sales(1, 20))
    await first.waitFor("cantidad: 20")
    first.signal("SIGTERM")
    await first.ended()
    using second = await deliver(sales(2, 20))
    assert.strictEqual(await second.ended(), 1)
    assert.match(
      second.stderr,
      /^loteria: agency 1: the central holds 20 bets of it, and they are not the first of this file\./
    )
  })
})

describe.concurrent("results and export", () => {
  it("tell what the ledger holds while the central runs", async () => {
    using folder = new TemporaryFolder()
    await using central = await Central.start({ agencies: 2 })
    const ledger = ["--ledger", central.ledgerPath]
    const results = async () => {
      const { code, stderr, stdout } = await runMain(["results", ...ledger])
      assert.strictEqual(code, 0, stderr)
      return stdout.split("\n").map((line) => line.trim().split(/ {2,}/).join(" "))
    }
    const deliver = async (id: number, bets: ReadonlyArray<string>) => {
      const agency = new Program([
        "agency",
        `--id=${id}`,
        `--file=${writeBetFile(folder, id, bets)}`,
        `--server=127.0.0.1:${central.betsPort}`,
        `--consult=127.0.0.1:${central.consultPort}`
      ])
      await agency.waitFor(`cantidad: ${bets.length}`)
      return agency
    }
    const first = sales(1, 40, 1)
    const second = sales(2, 9, 2)
    using one = await deliver(1, first)
    const before = await results()
    assert.includeMembers(before, ["1 40 yes - -", "2 0 no - -", "all 40 1 of 2 - -"])
    assert.match(before.join("\n"), /^The draw \S+ has not been held\.$/m)
    using two = await deliver(2, second)
    assert.deepStrictEqual([await one.ended(), await two.ended()], [0, 0])
    const after = await central.waitUntil("both told", async () => {
      const lines = await results()
      return lines.includes("all 49 2 of 2 3 2 of 2") && lines
    })
    assert.match(
      after.join("\n"),
      /^1 40 yes 1 \S+ 127\.0\.0\.1:\d+\n2 9 yes 2 \S+ 127\.0\.0\.1:\d+$/m
    )
    assert.match(after.join("\n"), /^The draw \S+ was held at .*: 7574 won\.$/m)

    const csv = [...first.map((bet) => csvLine(1, bet)), ...second.map((bet) => csvLine(2, bet))]
    const exported = await runMain(["export", "--format", "csv", ...ledger])
    assert.strictEqual(exported.stdout, csv.join(""))
    const file = folder.join("bets.csv")
    const written = await runMain(["export", "--out", file], { LEDGER_PATH: central.ledgerPath })
    assert.strictEqual(written.code, 0, written.stderr)
    assert.strictEqual(await readFile(file, "utf8"), csv.join(""))
    assert.notInclude(folder.names, "bets.csv.partial")
  })

  it("say in one line what is wrong with the ledger, and end with 1", async () => {
    using folder = new TemporaryFolder()
    const none = folder.join("none.sqlite")
    for (const command of ["results", "export"]) {
      const { code, stderr, stdout } = await runMain([command, "--ledger", none])
      assert.deepStrictEqual([code, stdout], [1, ""])
      assert.strictEqual(stderr, `loteria: ${none}: there is no such file\n`)
    }
  })

  it("end with 78 when the configuration that should name the ledger can't be used", async () => {
    using folder = new TemporaryFolder()
    const { code, stderr } = await runMain(["results", "--config", folder.join("none.yaml")])
    assert.strictEqual(code, 78)
    assert.match(stderr, /^loteria: .*none\.yaml: can't be read/)
  })
})
