/** Reports for people and for scripts: winners with names for the central itself, JSON, digests. */
import { assert, describe, it } from "@effect/vitest"
import { createHash } from "node:crypto"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { Central, runMain } from "../support/Central.ts"
import { FieldAgency } from "../support/FieldAgency.ts"
import { csvLine, sales } from "../support/Sales.ts"
import { Wire } from "../support/Wire.ts"

/** Two agencies with winners, of which the second has a name that holds a comma. */
const bets = [
  ["Ana,Vera,30904465,1999-03-17,7574", "Luz,Sosa,27000111,2000-02-29,12", ...sales(1, 30)],
  [...sales(2, 9), "Santiago Lionel,Lorca,30904466,1999-03-17,7574", "Eva,Paz,5,1950-01-01,7574"]
] as const

const sell = async (central: Central): Promise<void> => {
  for (const [index, sale] of bets.entries()) {
    using agency = await FieldAgency.open(central, index + 1)
    await agency.sendBets(sale, 7, true)
  }
}

const sold = async (central: Central): Promise<void> => {
  await sell(central)
  await central.waitForLine("action: sorteo | result: success")
}

const environment = { TZ: "America/Argentina/Buenos_Aires" }

describe.concurrent("results --winners", () => {
  it("lists agency, bet, document and name, and none of it is in a log", async () => {
    await using central = await Central.start({
      agencies: 2,
      settings: { log: { level: "DEBUG" }, lottery: { agencies: 2, draw: "nocturna" } }
    })
    const run = (...args: ReadonlyArray<string>) =>
      runMain(["results", "--winners", "--ledger", central.ledgerPath, ...args], environment)
    const before = await run()
    assert.strictEqual(before.code, 0, before.stderr)
    assert.include(before.stdout, "The draw nocturna has not been held.")
    await sold(central)
    const { code, stderr, stdout } = await run()
    assert.deepStrictEqual([code, stderr], [0, ""])
    const rows = stdout.split("\n").map((line) => line.trim().split(/ {2,}/).join("|"))
    assert.deepStrictEqual(rows.slice(0, 1).concat(rows.slice(2, 5)), [
      "agency|bet|document|name",
      "1|1|30904465|Ana Vera",
      "2|10|30904466|Santiago Lionel Lorca",
      "2|11|5|Eva Paz"
    ])
    assert.match(
      stdout,
      /The draw nocturna was held at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d-03:00: 7574 won\.\n/
    )
    const report: unknown = JSON.parse((await run("--json")).stdout)
    assert.deepNestedInclude(report, {
      "draw_name": "nocturna",
      "draw.winning_number": 7574,
      "winners[1]": {
        agency: 2,
        position: 10,
        document: "30904466",
        first_name: "Santiago Lionel",
        last_name: "Lorca"
      }
    })
    await central.stop()
    for (const personal of ["30904465", "Lorca", "Vera"]) {
      assert.notInclude(central.log + central.errors, personal)
    }
  })

  it("is refused where the winners that were told are not those of the bets", async () => {
    await using central = await Central.start({ agencies: 2 })
    await sold(central)
    await central.stop()
    {
      using database = new DatabaseSync(central.ledgerPath)
      database.exec("DELETE FROM winner WHERE agency = 1")
    }
    const { code, stderr, stdout } = await runMain([
      "results",
      "--winners",
      "--ledger",
      central.ledgerPath
    ])
    assert.deepStrictEqual([code, stdout], [1, ""])
    assert.include(stderr, "the file is damaged")
  })
})

describe.concurrent("--json", () => {
  it("says what results, ledger info and ledger verify say, with exit codes as they are", async () => {
    await using central = await Central.start({ agencies: 2 })
    const report = async (...args: ReadonlyArray<string>) => {
      const { code, stdout } = await runMain([...args, "--json", "--ledger", central.ledgerPath])
      const parsed: unknown = JSON.parse(stdout)
      return { code, report: parsed }
    }
    const before = await report("results")
    assert.deepNestedInclude(before.report, { draw: null, "agencies[0].winners": null })
    await sold(central)
    const { report: after } = await report("results")
    assert.deepNestedInclude(after, {
      ledger: central.ledgerPath,
      "draw.winning_number": 7574,
      "agencies[0].agency": 1,
      "agencies[0].bets": bets[0].length,
      "agencies[1].finished": true,
      "agencies[1].winners": 2
    })
    assert.match(JSON.stringify(after), /"held_at":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"/)
    assert.deepNestedInclude((await report("ledger", "info")).report, {
      ledger: central.ledgerPath,
      winning_number: 7574,
      finished: 2,
      "draw.winners": 3
    })
    const sound = await report("ledger", "verify")
    assert.strictEqual(sound.code, 0)
    assert.deepInclude(sound.report, { draw_held: true, problem_count: 0, problems: [] })
    await central.stop()
    {
      using database = new DatabaseSync(central.ledgerPath)
      database.exec("UPDATE chunk SET bets = bets + 1 WHERE id = 1")
    }
    const damaged = await report("ledger", "verify")
    assert.strictEqual(damaged.code, 1)
    assert.notDeepInclude(damaged.report, { problem_count: 0 })
  })
})

describe.concurrent("export", () => {
  it("prints the digest of what it wrote, and of each agency what RESUME_POINT tells it", async () => {
    await using central = await Central.start({ agencies: 3 })
    await sell(central)
    const csv = bets.map((sale, index) => sale.map((bet) => csvLine(index + 1, bet)).join(""))
    const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")
    const digests = [
      `${bets.flat().length} bets, SHA-256 ${sha256(csv.join(""))}`,
      ...csv.map((text, index) =>
        `  agency ${index + 1}: ${bets[index]?.length} bets, SHA-256 ${sha256(text)}`
      )
    ].join("\n")
    const out = join(central.folder, "bets.csv")
    const exported = (...args: ReadonlyArray<string>) =>
      runMain(["export", "--ledger", central.ledgerPath, ...args])
    assert.deepStrictEqual(await exported("--out", out), {
      code: 0,
      stdout: `${out}: ${digests}\n`,
      stderr: ""
    })
    assert.strictEqual(await readFile(out, "utf8"), csv.join(""))
    assert.deepStrictEqual(await exported(), {
      code: 0,
      stdout: csv.join(""),
      stderr: `stdout: ${digests}\n`
    })
    for (const [index, text] of csv.entries()) {
      using wire = await Wire.connect(central.betsPort)
      const answer = await wire.ask({ type_message: 4, agency: index + 1 })
      assert.strictEqual(answer["digest"], sha256(text))
    }
  })
})
