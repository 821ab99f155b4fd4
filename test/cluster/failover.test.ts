/** The primary is lost, and its standby takes its place at the same address. */
import { assert, describe, it } from "@effect/vitest"
import { Postgres, postgresKinds } from "../support/Postgres.ts"
import { sales } from "../support/Sales.ts"
import { TcpProxy } from "../support/TcpProxy.ts"
import { waitUntil } from "../support/WaitUntil.ts"
import { Wire } from "../support/Wire.ts"
import { moves } from "./Moves.ts"
import { Servers } from "./Servers.ts"
import { SharedLedger } from "./SharedLedger.ts"

for (const { kind, name, skipped } of postgresKinds) {
  describe.skipIf(skipped)(`a failover of ${name}`, () => {
    it("to a synchronous standby, under load, loses nothing acknowledged", async () => {
      await using primary = await Postgres.start({ kind })
      const standby = await primary.addStandby("synchronous")
      await using proxy = await TcpProxy.start(primary.port)
      const report = await moves({
        postgres: primary,
        proxy,
        standby,
        agencies: 20,
        betsEach: 300,
        seed: Date.now() % 1_000_000,
        lastsMs: 5000,
        moveEveryMs: 3000,
        faults: ["failover"],
        faultEveryMs: 1500,
        enough: ({ checked }) => checked > 100
      })
      assert.isAbove(report.checked, 100)
      // Nothing is proven about commits in doubt by a run that has none.
      assert.isAbove(report.inDoubt, 0)
    })

    it("to a synchronous standby that the last chunk hasn't reached: nobody was told that it is stored", async () => {
      await using primary = await Postgres.start({ kind })
      await using replication = await TcpProxy.start(primary.port)
      const standby = await primary.addStandby("synchronous", replication.port)
      const ledger = await SharedLedger.create(primary)
      await using proxy = await TcpProxy.start(primary.port)
      await using servers = await Servers.start([ledger.url(proxy.port)], { agencies: 1 })
      const central = servers.at(0)
      const chunk = (seq: number) => ({ type_message: 1, agency: 1, seq, payload: sales(1, 10) })
      using before = await Wire.connect(central.betsPort)
      assert.include(await before.ask(chunk(1)), { type_message: 1, seq: 1 })
      replication.set("stall", ["down"])
      before.send(chunk(2))
      await waitUntil(
        "a commit that waits for the standby",
        async () =>
          await ledger.number(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
          ) > 0
      )

      proxy.target = () => standby.port
      await primary.kill()
      await standby.promote()
      replication.cut()
      assert.deepStrictEqual(await before.gone(), [])
      await central.waitUntil("the server to go on with the standby", async () => {
        using after = await Wire.connect(central.betsPort)
        after.send(chunk(2))
        const answer = await after.answer().catch(() => undefined)
        return answer?.type_message === 1
      })
      assert.strictEqual((await ledger.on(standby).counts()).get(1), 20)
    })
  })
}

describe("a failover that lost what was acknowledged", () => {
  it("is noticed by a server at its agency's next connection: it says both counts, and stops with code 1", async () => {
    await using primary = await Postgres.start()
    await using replication = await TcpProxy.start(primary.port)
    const standby = await primary.addStandby("asynchronous", replication.port)
    const ledger = await SharedLedger.create(primary)
    await using proxy = await TcpProxy.start(primary.port)
    const url = ledger.url(proxy.port)
    await using servers = await Servers.start([url, url], { agencies: 2 })
    const [first, second] = [servers.at(0), servers.at(1)]
    const bets = sales(1, 20)
    const chunk = (seq: number) => ({
      type_message: 1,
      agency: 1,
      seq,
      payload: bets.slice((seq - 1) * 10, seq * 10)
    })
    using before = await Wire.connect(first.betsPort)
    assert.include(await before.ask(chunk(1)), { type_message: 1, seq: 1 })
    await waitUntil(
      "the first chunk on the standby",
      async () => (await ledger.on(standby).counts()).get(1) === 10
    )
    replication.refuse()
    assert.include(await before.ask(chunk(2)), { type_message: 1, seq: 2 })

    proxy.target = () => standby.port
    await primary.kill()
    await standby.promote()
    proxy.cut()
    // The other server has acknowledged nothing of this agency: it knows no better, and serves.
    await second.waitUntil("the second server's answer", async () => {
      using wire = await Wire.connect(second.betsPort)
      wire.send({ type_message: 4, agency: 1 })
      const point = await wire.answer().catch(() => undefined)
      return point?.["seq"] === 1
    })
    using after = await Wire.connect(first.betsPort)
    after.send(chunk(3))
    const ending = await first.ended()
    assert.strictEqual(ending.code, 1)
    assert.include(
      first.lines("action: ledger_lost")[0],
      "result: fail | agencia: 1 | acknowledged: 20 | stored: 10 | "
    )
    // Nothing is acknowledged on top of the loss.
    for (const answer of await after.gone()) assert.include(answer, { code: "LEDGER_UNAVAILABLE" })
    assert.isTrue(second.running)
  })
})
