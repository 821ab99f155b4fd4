/** The PostgreSQL that other tests rely on does what they ask of it. */
import { assert, describe, it } from "@effect/vitest"
import { setTimeout } from "node:timers/promises"
import { Postgres, postgresKinds } from "../support/Postgres.ts"
import { isAlive } from "../support/Processes.ts"
import { TcpProxy } from "../support/TcpProxy.ts"
import { waitUntil } from "../support/WaitUntil.ts"

const count = async (postgres: Postgres, url: string): Promise<unknown> =>
  (await postgres.query("SELECT count(*)::int AS rows FROM kept", [], url))[0]?.["rows"]

for (const { kind, name, skipped } of postgresKinds) {
  describe.skipIf(skipped)(`${name}`, () => {
    it("keeps its port and what was committed over a stop, a crash and a kill", async () => {
      await using postgres = await Postgres.start({ kind, settings: { work_mem: "5MB" } })
      const [row] = await postgres.query("SHOW work_mem")
      assert.strictEqual(row?.["work_mem"], "5MB")
      const url = await postgres.createDatabase()
      await postgres.query("CREATE TABLE kept (value text)", [], url)
      for (const how of ["fast", "immediate", "kill"] as const) {
        await postgres.query("INSERT INTO kept VALUES ($1)", [how], url)
        const { pid } = postgres
        await postgres.restart(how)
        assert.isFalse(isAlive(pid))
      }
      assert.strictEqual(await count(postgres, url), 3)
      assert.include(postgres.log, "automatic recovery in progress")
    })

    it("with a synchronous standby loses nothing when it is killed and that is promoted", async () => {
      await using postgres = await Postgres.start({ kind })
      const standby = await postgres.addStandby("synchronous")
      await postgres.query("CREATE TABLE kept (value text)")
      await postgres.query("INSERT INTO kept VALUES ('sold')")
      await postgres.kill()
      await standby.promote()
      assert.strictEqual(await count(standby, standby.url()), 1)
      await standby.query("INSERT INTO kept VALUES ('sold later')")
    })
  })
}

describe("the proxy", () => {
  it("stalls, loses, cuts and refuses what goes to PostgreSQL, in each direction", async () => {
    await using postgres = await Postgres.start()
    await using proxy = await TcpProxy.start(postgres.port)
    const url = postgres.url("postgres", proxy.port)
    const ask = () => postgres.query("SELECT 1 AS one", [], url).then((rows) => rows.length)
    assert.strictEqual(await ask(), 1)
    for (const direction of ["up", "down"] as const) {
      for (const fault of ["stall", "lose"] as const) {
        proxy.set(fault, [direction])
        const asked = ask().catch(() => "failed")
        await waitUntil("a connection", () => proxy.connections > 0)
        const first = await Promise.race([
          asked,
          ask().catch(() => "failed"),
          setTimeout(200, "nothing")
        ])
        assert.strictEqual(first, "nothing", `${fault} ${direction}`)
        proxy.heal()
        assert.strictEqual(await asked, fault === "stall" ? 1 : "failed")
      }
    }
    proxy.refuse()
    assert.strictEqual(await ask().catch(() => "failed"), "failed")
    proxy.heal()
    assert.strictEqual(await ask(), 1)
  })
})
