/** `npm run demo`, a newcomer's first command: its output, and that it leaves nothing behind. */
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
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
