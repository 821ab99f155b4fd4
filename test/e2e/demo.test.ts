/** `npm run demo`, a newcomer's first command: its output, and that it leaves nothing behind. */
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Postgres } from "../support/Postgres.ts"
import { descendants, waitUntilGone } from "../support/Processes.ts"
import { Program } from "../support/Program.ts"
import { waitUntil } from "../support/WaitUntil.ts"

describe("demo", () => {
  let folder = ""
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "loteria-"))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  it(
    "delivers 80,000 bets of five agencies, holds the draw, checks it, and stops the central",
    async () => {
      using demo = new Program(["demo"], { TMPDIR: folder })
      assert.strictEqual(await demo.ended(60_000), 0, demo.stdout + demo.stderr)
      const rows = [...demo.stdout.matchAll(/^ +(\d|all) +([\d,]+) +(\d+) +[\d.]+$/gm)]
        .map(([, agency, bets, winners]) => [agency, bets, winners])
      assert.deepStrictEqual(rows, [
        ["1", "4,567", "3"],
        ["2", "43,191", "5"],
        ["3", "20,425", "1"],
        ["4", "9,657", "2"],
        ["5", "2,160", "0"],
        ["all", "80,000", "11"]
      ])
      assert.include(demo.stdout, "checked: every count and every winner is as the files say")
      assert.include(demo.stdout, "stopped by SIGTERM: exit code 0")
      assert.deepStrictEqual(await readdir(folder), [])
    }
  )

  it("is not led astray by the variables that configure servers and agencies", async () => {
    using demo = new Program(["demo", "--bets", "300", "--agencies", "2"], {
      TMPDIR: folder,
      AGENCIES: "7",
      SERVER_PORT: "1",
      CLI_ID: "4",
      CLI_SERVER_ADDRESS: "nowhere:1",
      CHUNK_SIZE: "0"
    })
    assert.strictEqual(await demo.ended(), 0, demo.stdout + demo.stderr)
  })

  it("stops everything it started when it is interrupted", async () => {
    using demo = new Program(["demo", "--bets", "400000"], { TMPDIR: folder })
    await demo.waitFor("the central listens")
    const children = await waitUntil("the agencies", () => {
      const found = descendants(demo.pid)
      // The central, its parsers, and five agencies.
      return found.length >= 7 && found
    })
    demo.signal("SIGINT")
    assert.strictEqual(await demo.ended(), 0, demo.stdout + demo.stderr)
    await waitUntilGone(children)
    assert.deepStrictEqual(await readdir(folder), [])
  })

  it("says what failed, keeps the logs and ends with 1 when the central dies", async () => {
    using demo = new Program(["demo", "--bets", "400000"], { TMPDIR: folder })
    await demo.waitFor("the central listens")
    const central = descendants(demo.pid).find((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("\0serve\0")
    )
    assert.isDefined(central)
    process.kill(central, "SIGKILL")
    assert.strictEqual(await demo.ended(), 1)
    assert.match(demo.stderr, /^the logs of the central and the agencies are in .*loteria-demo-/m)
    assert.match(demo.stderr, /^loteria: central: ended by a signal$/m)
    const [kept = ""] = await readdir(folder)
    assert.include(await readdir(join(folder, kept)), "central.log")
  })
})

describe("demo --cluster", () => {
  let folder = ""
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "loteria-"))
    // PostgreSQL runs as nobody when it is started by root, and must get to its folder.
    await chmod(folder, 0o711)
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  const checked = "checked: every count and every winner is as the files say"

  it("holds the same lottery on three servers, of which one is killed half way", async () => {
    using demo = new Program(["demo", "--cluster"], { TMPDIR: folder })
    assert.strictEqual(await demo.ended(110_000), 0, demo.stdout + demo.stderr)
    const [, agency, bets, winners] = /^ +(all) +([\d,]+) +(\d+) +[\d.]+$/m.exec(demo.stdout) ?? []
    assert.deepStrictEqual([agency, bets, winners], ["all", "80,000", "11"])
    const [, killed, after] =
      /^(server-\d) was killed \(SIGKILL\) after (\d+) bets; agencies that it was serving: \d/m
        .exec(demo.stdout) ?? []
    assert.isAtLeast(Number(after), 40_000)
    assert.isBelow(Number(after), 80_000)
    const others = ["server-1", "server-2", "server-3"].filter((name) => name !== killed)
    assert.lengthOf(others, 2)
    assert.include(demo.stdout, checked)
    assert.include(demo.stdout, `${others.join(" and ")} were stopped by SIGTERM: exit code 0`)
    assert.deepStrictEqual(await readdir(folder), [])
  })

  it("stops everything it started when it is interrupted, PostgreSQL too", async () => {
    using demo = new Program(["demo", "--cluster", "--bets", "400000"], { TMPDIR: folder })
    await demo.waitFor("server-3 listens")
    const children = descendants(demo.pid)
    assert.isTrue(
      children.some((pid) =>
        readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("/bin/postgres\0")
      )
    )
    demo.signal("SIGINT")
    assert.strictEqual(await demo.ended(), 0, demo.stdout + demo.stderr)
    await waitUntilGone(children)
    assert.deepStrictEqual(await readdir(folder), [])
  })

  it("uses the database that it is given, with the variable's password, which it never shows", async () => {
    await using postgres = await Postgres.start()
    const url = new URL(await postgres.createDatabase())
    const { password } = url
    url.password = ""
    const args = ["demo", "--cluster", "--bets", "3000", "--ledger-url", url.href]
    using demo = new Program(args, { TMPDIR: folder, LEDGER_PASSWORD: password })
    assert.strictEqual(await demo.ended(60_000), 0, demo.stdout + demo.stderr)
    assert.include(demo.stdout, checked)
    using refused = new Program(args, { TMPDIR: folder, LEDGER_PASSWORD: `${password}x` })
    assert.strictEqual(await refused.ended(60_000), 1)
    const said = demo.stdout + demo.stderr + refused.stdout + refused.stderr
    assert.notInclude(said, password)
    assert.match(
      refused.stderr,
      /^loteria: server-\d: ended with exit code 1 before it was ready$/m
    )
    const [kept = ""] = await readdir(folder)
    const logs = (await readdir(join(folder, kept))).filter((name) => name.startsWith("server-"))
    assert.isAtLeast(logs.length, 6, "configurations and logs")
    for (const name of logs) {
      assert.notInclude(readFileSync(join(folder, kept, name), "utf8"), password)
    }
  })

  it.each([
    [["--cluster", "--ledger-url", "postgres://u:geheim@h/d"], "--ledger-url: it leaves open"],
    [["--ledger-url", "postgres://u:geheim@localhost/d"], "--ledger-url: is only for --cluster"]
  ])("refuses %j as wrong usage, and doesn't show the URL", async (args, problem) => {
    using demo = new Program(["demo", ...args], { TMPDIR: folder })
    assert.strictEqual(await demo.ended(), 2)
    assert.include(demo.stderr, problem)
    assert.notInclude(demo.stdout + demo.stderr, "geheim")
    assert.deepStrictEqual(await readdir(folder), [])
  })
})
