/** Files that commands write: whole or not at all, never over an existing file without --force, never over a ledger. */
import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { SmallDisk } from "../faults/FaultyMachine.ts"
import { Central, runMain } from "../support/Central.ts"
import { FieldAgency } from "../support/FieldAgency.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { Program } from "../support/Program.ts"
import { csvLine, sales } from "../support/Sales.ts"
import { TemporaryFolder } from "../support/TemporaryFolder.ts"
import { waitUntil } from "../support/WaitUntil.ts"

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex")

/** A central with bets of agency 1, and what `export` gives of them. */
const centralWithBets = async () => {
  const central = await Central.start({ agencies: 2 })
  const bets = sales(1, 40, 1)
  using agency = await FieldAgency.open(central, 1)
  await agency.sendBets(bets, 10, false)
  return { central, bets, csv: bets.map((bet) => csvLine(1, bet)).join("") }
}

const writers: ReadonlyArray<readonly [string, (out: string) => ReadonlyArray<string>]> = [
  ["export", (out) => ["export", "--out", out]],
  ["compose", (out) => ["compose", "2", "--out", out]],
  ["generate", (out) => ["generate", "--agencies", "2", "--bets", "9", "--out", join(out, "..")]]
]

describe.concurrent("a file that is there", () => {
  it.each(writers)("is left as it is by %s, until --force replaces it", async (command, argsOf) => {
    using folder = new TemporaryFolder()
    const { central } = await centralWithBets()
    await using _ = central
    const out = folder.join("agency-2.csv")
    writeFileSync(out, "sold by hand")
    const run = (...more: ReadonlyArray<string>) =>
      runMain([...argsOf(out), ...more], { LEDGER_PATH: central.ledgerPath })
    const refused = await run()
    assert.strictEqual(refused.code, 1)
    assert.match(refused.stderr, /^loteria: \S*agency-2\.csv already exists, .*--force/)
    assert.strictEqual(readFileSync(out, "utf8"), "sold by hand")
    assert.deepStrictEqual(folder.names, ["agency-2.csv"], "and nothing is beside it")
    const forced = await run("--force")
    assert.strictEqual(forced.code, 0, forced.stderr)
    assert.notStrictEqual(readFileSync(out, "utf8"), "sold by hand")
    assert.deepStrictEqual(
      folder.names,
      command === "generate" ? ["agency-1.csv", "agency-2.csv"] : ["agency-2.csv"]
    )
  })

  it("is left as it is when it is a link, a device, a pipe or a folder", async () => {
    using folder = new TemporaryFolder()
    const { central, csv } = await centralWithBets()
    await using _ = central
    const run = (out: string, ...more: ReadonlyArray<string>) =>
      runMain(["export", "--ledger", central.ledgerPath, "--out", out, ...more])
    const target = folder.join("target")
    writeFileSync(target, "somebody else's")
    const link = folder.join("link")
    symlinkSync(target, link)
    assert.strictEqual((await run(link)).code, 1)
    assert.strictEqual((await run(link, "--force")).code, 0)
    assert.strictEqual(readFileSync(target, "utf8"), "somebody else's")
    assert.isTrue(lstatSync(link).isFile())
    assert.strictEqual(readFileSync(link, "utf8"), csv)
    const pipe = folder.join("pipe")
    execFileSync("mkfifo", [pipe])
    const device = folder.join("device")
    symlinkSync("/dev/null", device)
    const inner = folder.join("inner")
    mkdirSync(inner)
    for (const out of [pipe, device, inner]) {
      const { code, stderr } = await run(out, "--force")
      assert.strictEqual(code, 1)
      assert.match(stderr, /is not a regular file, which is never replaced/)
    }
    assert.isTrue(lstatSync(pipe).isFIFO())
    assert.isTrue(lstatSync(device).isSymbolicLink())
  })
})

describe.concurrent("a ledger's files", () => {
  it("are never replaced, by whatever name or link, and the central goes on", async () => {
    using folder = new TemporaryFolder()
    const { bets, central } = await centralWithBets()
    await using _ = central
    const { ledgerPath } = central
    const symbolic = folder.join("symbolic")
    symlinkSync(ledgerPath, symbolic)
    const viaFolder = folder.join("elsewhere")
    symlinkSync(central.folder, viaFolder)
    // A hard link to the log, not to the ledger: a server refuses a ledger with two names.
    const hard = join(central.folder, "hard")
    linkSync(`${ledgerPath}-wal`, hard)
    const before = readdirSync(central.folder)
    for (
      const out of [
        ledgerPath,
        symbolic,
        hard,
        join(viaFolder, "ledger.sqlite"),
        `${ledgerPath}-wal`,
        `${ledgerPath}-shm`,
        `${ledgerPath}.lock`,
        `${ledgerPath}.mark`,
        // These aren't there, and would be taken for the ledger's.
        `${ledgerPath}-journal`,
        `${ledgerPath}.next`
      ]
    ) {
      // Both commands write by the same service: one of them is enough for all paths but the first.
      const exporting = ["export", "--ledger", ledgerPath]
      for (const args of out === ledgerPath ? [exporting, ["compose", "2"]] : [exporting]) {
        const { code, stderr } = await runMain([...args, "--out", out, "--force"], {
          LEDGER_PATH: ledgerPath
        })
        assert.strictEqual(code, 1, out)
        assert.match(
          stderr,
          /^loteria: .* is a (file of the )?ledger.*, which is never replaced/,
          out
        )
      }
    }
    const copy = await runMain([
      "ledger",
      "backup",
      "--ledger",
      ledgerPath,
      "--out",
      `${ledgerPath}-journal`
    ])
    assert.strictEqual(copy.code, 1)
    assert.include(copy.stderr, "which is never replaced")
    assert.deepStrictEqual(readdirSync(central.folder), before)
    // A log with two names is one that nothing is written to.
    rmSync(hard)
    using agency = await FieldAgency.open(central, 2)
    await agency.sendChunk(sales(2, 5))
    using ledger = new LedgerFile(ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(1), bets)
    assert.deepStrictEqual(ledger.betsOf(2), sales(2, 5))
  })

  it("are known by what is in them, also those of another configuration", async () => {
    using folder = new TemporaryFolder()
    const { central } = await centralWithBets()
    await using _ = central
    await central.stop()
    const out = folder.join("agency-1.csv")
    linkSync(central.ledgerPath, out)
    const generated = await runMain(["generate", "--bets", "9", "--out", folder.path, "--force"])
    assert.strictEqual(generated.code, 1)
    assert.match(generated.stderr, /agency-1\.csv is a ledger, which is never replaced/)
    assert.deepStrictEqual(folder.names, ["agency-1.csv"])
    const beside = await runMain(["compose", "2", "--out", `${out}-wal`, "--force"])
    assert.strictEqual(beside.code, 1)
    assert.isFalse(existsSync(`${out}-wal`))
  })
})

describe.concurrent("a file that isn't whole", () => {
  it("is never written through a link that somebody has laid", async () => {
    using folder = new TemporaryFolder()
    const { central, csv } = await centralWithBets()
    await using _ = central
    const out = folder.join("bets.csv")
    const target = folder.join("target")
    writeFileSync(target, "somebody else's")
    symlinkSync(target, `${out}.partial`)
    const { code, stderr, stdout } = await runMain([
      "export",
      `--ledger=${central.ledgerPath}`,
      `--out=${out}`
    ])
    assert.strictEqual(code, 0, stderr)
    assert.strictEqual(readFileSync(target, "utf8"), "somebody else's")
    assert.isTrue(lstatSync(out).isFile())
    assert.strictEqual(readFileSync(out, "utf8"), csv)
    assert.include(stdout, `SHA-256 ${sha256(csv)}\n`)
  })

  it.skipIf(SmallDisk.unavailable !== undefined)(
    "is removed when the disk is full, and what was there is still there",
    async () => {
      using disk = new SmallDisk(256 * 1024)
      const out = join(disk.path, "agency-2.csv")
      writeFileSync(out, "sold by hand")
      const { code, stderr } = await runMain([
        "generate",
        "--agencies=2",
        "--bets=100000",
        `--out=${disk.path}`,
        "--force"
      ])
      assert.strictEqual(code, 1)
      assert.match(stderr, /^loteria: .*agency-1\.csv: the disk is full\n$/)
      assert.deepStrictEqual(readdirSync(disk.path), ["agency-2.csv"])
      assert.strictEqual(readFileSync(out, "utf8"), "sold by hand")
    }
  )

  it.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "is removed at %s, which isn't a success",
    async (signal) => {
      using folder = new TemporaryFolder()
      using generate = new Program([
        "generate",
        "--agencies=1",
        "--bets=100000000",
        `--out=${folder.path}`
      ])
      await waitUntil("a file that is being written", () => folder.names.length > 0)
      generate.signal(signal)
      assert.strictEqual(await generate.ended(), 1)
      assert.strictEqual(generate.stderr, "loteria: interrupted before it was done\n")
      assert.deepStrictEqual(folder.names, [])
    }
  )
})
