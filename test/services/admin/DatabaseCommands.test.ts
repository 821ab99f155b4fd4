/** The commands on a lottery in a real PostgreSQL, as processes: what they print, their exit codes, and no password. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { createHash } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { AgencyId } from "../../../src/domain/Agency.ts"
import { runMain } from "../../support/Central.ts"
import { betAt, chunkOf, csvOf } from "../../support/LedgerChunks.ts"
import { Postgres } from "../../support/Postgres.ts"
import { StoredLottery } from "../../support/StoredLotteries.ts"

const one = AgencyId.make(1)
const two = AgencyId.make(2)
const sold = [[betAt(0, 257), betAt(1, 300)], [betAt(2, 1)]] as const

describe("commands on a database", () => {
  let postgres: Postgres
  let folder: string
  beforeAll(async () => {
    postgres = await Postgres.start()
    folder = mkdtempSync(join(tmpdir(), "loteria-commands-"))
  })
  afterAll(async () => {
    await postgres[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true })
  })

  /** A database; a way to run commands on it, whose output never holds the password; and a configuration. */
  const newPlace = async () => {
    const complete = await postgres.createDatabase()
    const password = decodeURIComponent(new URL(complete).password)
    const url = complete.replace(`:${password}@`, "@")
    const config = join(folder, `${new URL(url).pathname.slice(1)}.yaml`)
    writeFileSync(
      config,
      `lottery: { agencies: 2, winningNumber: 257 }\nledger: { url: "${url}" }\n`
    )
    const run = async (args: ReadonlyArray<string>, environment = {}) => {
      const ended = await runMain(args, { LEDGER_PASSWORD: password, ...environment })
      assert.notInclude(ended.stdout + ended.stderr, password, args.join(" "))
      return ended
    }
    return { complete, config, password, run, url }
  }

  it("begin, report, export and verify what their configuration names, or a URL", async () => {
    const { complete, config, run, url } = await newPlace()
    const checked = await run(["serve", "--check-config", "-c", config])
    assert.deepStrictEqual(
      [checked.code, checked.stdout],
      [0, `${config}: valid\n${url}: the database is empty: no ledger has begun in it\n`]
    )
    const begun = await run(["ledger", "begin", "-c", config, "--draw", "may"])
    assert.deepStrictEqual(
      [begun.code, begun.stdout],
      [0, `${url}: draw may, agencies 2, winning number 257\n`],
      begun.stderr
    )
    const lottery = new StoredLottery(postgres, complete, "may")
    await lottery.store([chunkOf(one, 1, sold[0], true), chunkOf(two, 1, sold[1], true)])
    await lottery.hold(257, new Map([[1, [betAt(0).document]]]))
    const info = await run(["ledger", "info", "--ledger", url])
    assert.match(
      info.stdout,
      /agencies: +2 \(2 of 2 finished\)\n[^]*3 bets in 2 chunks\n[^]*may, held /
    )
    const results = await run(["results", "-c", config])
    assert.match(results.stdout, / 1 +2 +yes +1 +-\n +2 +1 +yes +0 +-\n/)
    const winners = await run(["results", "--winners", "--json", "-c", config])
    assert.deepNestedInclude(JSON.parse(winners.stdout), {
      ledger: url,
      "winners[0].document": betAt(0).document
    })
    const csv = csvOf(one, sold[0]) + csvOf(two, sold[1])
    assert.strictEqual((await run(["export", "--ledger", url])).stdout, csv)
    const out = join(folder, "may.csv")
    const exported = await run(["export", "-c", config, "--draw", "may", "--out", out])
    const digest = createHash("sha256").update(csv).digest("hex")
    assert.include(exported.stdout, `${out}: 3 bets, SHA-256 ${digest}\n`)
    assert.strictEqual(readFileSync(out, "utf8"), csv)
    const verified = await run(["ledger", "verify", "-c", config])
    assert.deepStrictEqual(
      [verified.code, verified.stdout],
      [0, `${url}: 3 bets in 2 chunks of 2 agencies, 2 finished, draw held; 0 problems\n`]
    )
    const found = await run(["serve", "--check-config", "-c", config])
    assert.include(found.stdout, `${url}: draw may, 3 bets, 2 of 2 agencies finished, draw held`)
    await lottery.query("UPDATE chunk SET checksum = 0 WHERE agency = 2")
    const damaged = await run(["ledger", "verify", "-c", config])
    assert.strictEqual(damaged.code, 1)
    assert.include(damaged.stdout, "agency 2, chunk 1: its bytes are not those that were stored")
    const refused = await run(["export", "--ledger", url])
    assert.strictEqual(refused.code, 1)
    assert.include(
      refused.stderr,
      "chunk 1 of agency 2 is not what was stored: the database is damaged"
    )
    assert.notInclude(info.stdout, "other draws")
    assert.strictEqual(
      (await run(["ledger", "begin", "-c", config, "--draw", "june", "--yes"])).code,
      0
    )
    const beside = await run(["ledger", "info", "--ledger", url])
    assert.match(beside.stdout, /draw: +june, not held\n[^]*other draws: +may\n/)
    const old = await run(["ledger", "info", "-c", config, "--draw", "may", "--json"])
    assert.deepNestedInclude(JSON.parse(old.stdout), { draw_name: "may", other_draws: ["june"] })
  })

  it("begin says what servers that run go on with, and what is to be set", async () => {
    const { complete, config, run, url } = await newPlace()
    const begin = (...args: ReadonlyArray<string>) =>
      run(["ledger", "begin", "-c", config, ...args])
    assert.strictEqual((await begin("--draw", "may")).stdout.split("\n").length, 2)
    await new StoredLottery(postgres, complete, "may").hold(257, new Map())
    const { code, stderr, stdout } = await begin(
      "--draw",
      "june",
      "--winning-number",
      "1",
      "--yes"
    )
    assert.strictEqual(code, 0, stderr)
    const [first, second, third, ...rest] = stdout.split("\n")
    assert.strictEqual(first, `${url}: draw june, agencies 2, winning number 1`)
    assert.include(second, "servers that run go on with draw may: ")
    assert.include(third, "would not serve this draw: set lottery.winningNumber: 1")
    assert.deepStrictEqual(rest, [""])
  })

  it("say what is wrong with what they were given", async () => {
    const { config, run, url } = await newPlace()
    const cases: ReadonlyArray<readonly [code: number, problem: string, ...args: Array<string>]> = [
      [1, "pg_dump", "ledger", "backup", "-c", config, "--out", join(folder, "out.sqlite")],
      [1, "no ledger has begun in it", "results", "-c", config],
      [1, "does not exist", "results", "--ledger", url.replace(/[^/]*$/, "nowhere")],
      [1, "ECONNREFUSED", "ledger", "info", "--ledger", "postgres://u@127.0.0.1:1/lottery"],
      [2, "--ledger: it names no database", "results", "--ledger", "postgres://u@127.0.0.1"],
      [2, "--draw: chooses a lottery of a database", "results", "--ledger", "x", "--draw", "y"]
    ]
    for (const [code, problem, ...args] of cases) {
      const ended = await run(args)
      assert.include(ended.stderr, problem, args.join(" "))
      assert.strictEqual(ended.code, code, args.join(" "))
    }
    const out = join(folder, "copy.sqlite")
    const commands = [
      ["results", "-c", config],
      ["serve", "--check-config", "-c", config],
      ["ledger", "begin", "-c", config],
      ["ledger", "copy", "--from", url, "--to", out]
    ]
    for (const args of commands) {
      const wrong = await run(args, { LEDGER_PASSWORD: "hunter2" })
      assert.strictEqual(wrong.code, 1)
      assert.include(wrong.stderr, `${url}: password authentication failed`)
      assert.notInclude(wrong.stderr, "hunter2")
    }
    const none = await run(["results", "-c", config], { LEDGER_PASSWORD: "" })
    assert.strictEqual(none.code, 1)
    assert.include(none.stderr, `${url}: The server requested password authentication; set LEDGER_`)
  })
})
