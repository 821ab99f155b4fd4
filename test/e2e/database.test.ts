/** A central whose ledger is in PostgreSQL: its start, its password, and a database that goes away, comes back, or forgets. */
import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Central, projectFolder, runMain } from "../support/Central.ts"
import { FieldAgency } from "../support/FieldAgency.ts"
import { installed, missing } from "../support/Installed.ts"
import { Postgres } from "../support/Postgres.ts"
import { sales, winnersOf } from "../support/Sales.ts"
import { waitUntil } from "../support/WaitUntil.ts"
import { Wire } from "../support/Wire.ts"

const readiness = async (central: Central): Promise<string> =>
  await (await fetch(`http://127.0.0.1:${central.operationsPort}/readyz`)).text()

/** A database of its own, without and with the password. */
const database = async (postgres: Postgres) => {
  const url = new URL(await postgres.createDatabase())
  const { href, password } = url
  url.password = ""
  return { complete: href, password, url: url.href }
}

const prepared = (LEDGER_URL: string, environment: Readonly<Record<string, string>> = {}) =>
  Central.prepare({ agencies: 1, environment: { LEDGER_URL, ...environment } })

describe("a central with a ledger in PostgreSQL", () => {
  it("takes the password from a file, and shows it nowhere", async () => {
    await using postgres = await Postgres.start()
    const { password, url } = await database(postgres)
    await using central = await Central.prepare()
    const file = join(central.folder, "password")
    writeFileSync(file, `${password}\n`)
    const environment = { LEDGER_URL: url, LEDGER_PASSWORD_FILE: file, AGENCIES: "2" }
    const check = () => runMain(["serve", "--check-config", "-c", central.configPath], environment)
    const before = await check()
    assert.strictEqual(before.code, 0, before.stderr)

    await using served = await prepared(url, { LEDGER_PASSWORD_FILE: file, AGENCIES: "2" })
    await served.start()
    const [line = ""] = served.lines("action: ledger | result: success")
    assert.include(line, `path: ${url} | server: `)
    assert.include(line, "new: true | bets: 0 | finished: 0 of 2")
    const bets = sales(1, 30, 3)
    using one = await FieldAgency.open(served, 1)
    using two = await FieldAgency.open(served, 2)
    await two.sendBets([], 1, true)
    assert.deepStrictEqual((await one.work(bets, 7)).winners, winnersOf(bets))
    const after = await check()
    assert.include(after.stdout, `${url}: draw `)
    assert.include(after.stdout, "30 bets, 2 of 2 agencies finished, draw held")
    assert.strictEqual((await served.stop()).code, 0)
    assert.include(served.log, "action: close_resource | result: success | resource: ledger")
    assert.notInclude(
      served.log + served.errors + before.stdout + before.stderr + after.stdout + after.stderr,
      password
    )
  })

  it("doesn't start without its database, and names it, but not the password", async () => {
    await using postgres = await Postgres.start()
    const { complete, password, url } = await database(postgres)
    await postgres.stop()
    for (const text of [complete, complete.replace(password, `${password}x`)]) {
      await using central = await prepared(text)
      await central.spawn()
      assert.strictEqual((await central.ended()).code, 1)
      assert.include(central.log + central.errors, "action: start | result: fail")
      assert.include(central.log, `ledger: ${url}`)
      assert.notInclude(central.log + central.errors, password)
      if (!postgres.running) await postgres.start()
    }
  })

  it("is not ready while its database is away, and goes on by itself when it is back", async () => {
    await using postgres = await Postgres.start()
    const { complete, password } = await database(postgres)
    await using central = await prepared(complete)
    await central.start()
    assert.isNotEmpty(central.children)
    for (const parser of central.children) {
      assert.notInclude(readFileSync(`/proc/${parser}/environ`, "utf8"), password)
    }
    const [first, second] = [sales(1, 20), sales(1, 40).slice(20)]
    using agency = await FieldAgency.open(central, 1)
    await agency.sendBets(first, 10, false)
    await postgres.stop()
    await central.waitForLine("action: database | result: fail | problem: ")
    assert.match(await readiness(central), /the database: /)
    await postgres.start()
    await central.waitForLine("action: database | result: success")
    await waitUntil(
      "readiness",
      async () => (await readiness(central)) === "{\"status\":\"ready\"}"
    )
    using again = await FieldAgency.open(central, 1)
    assert.strictEqual(await again.sendBets([...first, ...second], 10, true), 40)
    assert.deepStrictEqual(await again.consult(), [])
  })

  it("ends with 1 when the database has less than it confirmed, and says how much of each", async () => {
    await using postgres = await Postgres.start()
    const { complete } = await database(postgres)
    await using central = await prepared(complete)
    await central.start()
    using agency = await FieldAgency.open(central, 1)
    await agency.sendBets(sales(1, 30), 10, false)
    // What a failover to a standby that lagged behind does.
    await postgres.query("DELETE FROM chunk WHERE seq = 3", [], complete)
    using wire = await Wire.connect(central.betsPort)
    wire.send({ type_message: 1, agency: 1, seq: 4, payload: sales(1, 40).slice(30) })
    assert.strictEqual((await central.ended()).code, 1)
    assert.include(
      central.log,
      "action: ledger_lost | result: fail | agencia: 1 | acknowledged: 30 | stored: 20"
    )
  })
})

const withoutPsql = missing("psql")

describe.skipIf(withoutPsql !== undefined)(
  `the database of docker-compose.cluster.yaml${
    withoutPsql === undefined ? "" : ` (skipped: ${withoutPsql})`
  }`,
  () => {
    it("lets servers in with the secret's password, and no administrator from outside", async () => {
      await using postgres = await Postgres.start()
      const complete = await postgres.createDatabase()
      const run = (...args: ReadonlyArray<string>) =>
        execFileSync(installed("psql"), ["-X", "-v", "ON_ERROR_STOP=1", complete, ...args], {
          stdio: ["ignore", "ignore", "pipe"]
        })
      await using central = await Central.prepare()
      const secret = join(central.folder, "ledger-password")
      // As openssl prints it, and as nobody should choose it.
      writeFileSync(secret, "a'b\"c\\d\n")
      const sql = (name: string) => join(projectFolder, "ops/postgres", name)
      const passwords = join(central.folder, "passwords.sql")
      writeFileSync(
        passwords,
        readFileSync(sql("passwords.sql"), "utf8").replace("/run/secrets/ledger-password", secret)
      )
      run("-f", sql("roles.sql"))
      run("-f", passwords)
      const url = new URL(complete)
      url.username = "loteria_owner"
      url.password = ""
      await using server = await prepared(url.href, { LEDGER_PASSWORD_FILE: secret })
      await server.start()
      assert.strictEqual((await server.stop()).code, 0)
      assert.throws(() => run("-c", "SELECT"), /password authentication failed for user "postgres"/)
    })
  }
)
