/** A ledger's file that is removed, replaced or written over under the running server. */
import { assert, describe, it } from "@effect/vitest"
import { copyFileSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { Central, runMain } from "../support/Central.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { sales } from "../support/Sales.ts"
import { Wire } from "../support/Wire.ts"
import { assertRefused, chunkBets, health, numberingClient } from "./NumberingClient.ts"

describe.concurrent("a ledger that is taken from under the server", () => {
  const displaced = "action: ledger_place | result: fail"

  it.each([
    ["removed", () => {}],
    ["replaced by a backup", (path: string, backup: string) => copyFileSync(backup, path)]
  ])(
    "(%s) is noticed without a chunk, told once, and nothing is acknowledged until it is back",
    async (_, replace) => {
      await using central = await Central.start({
        agencies: 1,
        settings: { ledger: { retryFirstMs: 5, retryMaxMs: 50 } }
      })
      const path = central.ledgerPath
      const backup = join(central.folder, "backup.sqlite")
      assert.strictEqual(
        (await runMain(["ledger", "backup", "--ledger", path, "--out", backup])).code,
        0
      )
      const bets = sales(1, 4 * chunkBets, 3)
      using one = await numberingClient(central, 1, bets)
      assert.strictEqual((await one.send()).type_message, 1)
      renameSync(path, `${path}.away`)
      replace(path, backup)
      assert.include(await central.waitForLine(displaced), "put that back under its name")
      const unready = await health(central)
      assert.strictEqual(unready.code, 1)
      assert.include(unready.stderr, path)
      assertRefused(await one.send())
      using asking = await Wire.connect(central.betsPort)
      assertRefused(await asking.ask({ type_message: 4, agency: 1 }))
      renameSync(`${path}.away`, path)
      await central.waitForLine("action: ledger_place | result: success")
      await central.waitUntil("health", async () => (await health(central)).code === 0)
      using again = await numberingClient(central, 1, bets)
      again.acknowledged = one.acknowledged
      while (again.acknowledged < again.chunks) {
        assert.strictEqual((await again.send()).type_message, 1)
      }
      await central.waitForLine("action: sorteo | result: success")
      assert.lengthOf(central.lines(displaced), 1)
      assert.strictEqual((await central.stop()).code, 0)
      using ledger = new LedgerFile(path)
      assert.deepStrictEqual(ledger.betsOf(1), bets)
    }
  )

  it("by a backup that is written over it in its place is noticed, and nothing is acknowledged any more", async () => {
    await using central = await Central.start({ agencies: 1 })
    const path = central.ledgerPath
    const backup = join(central.folder, "backup.sqlite")
    using one = await numberingClient(central, 1, sales(1, 4 * chunkBets, 3))
    assert.strictEqual((await one.send()).type_message, 1)
    const made = await runMain(["ledger", "backup", "--ledger", path, "--out", backup])
    assert.strictEqual(made.code, 0)
    assert.strictEqual((await one.send()).type_message, 1)
    copyFileSync(backup, path)
    assert.include(await central.waitForLine(displaced), "was overwritten by another program")
    assertRefused(await one.send())
    assert.strictEqual((await health(central)).code, 1)
  })

  it("in the moment of a commit has that commit not acknowledged, and not stored when it is back", async () => {
    await using central = await Central.start({
      agencies: 1,
      settings: { ledger: { retryFirstMs: 5, retryMaxMs: 50 } }
    })
    const path = central.ledgerPath
    const bets = sales(1, 4 * chunkBets, 3)
    using one = await numberingClient(central, 1, bets)
    for (let round = 1; round <= 3; round++) {
      assert.strictEqual((await one.send()).type_message, 1)
      renameSync(path, `${path}.away`)
      assertRefused(await one.send())
      renameSync(`${path}.away`, path)
      using ledger = new LedgerFile(path)
      assert.lengthOf(ledger.betsOf(1), round * chunkBets)
      // The refusal said when to come again; an empty group finds out by then that the file is back.
      await central.waitUntil("health", async () => (await health(central)).code === 0)
    }
  })

  it("and removed for good is missed by the next start, which begins no new one in its place", async () => {
    await using central = await Central.start({ agencies: 1 })
    using one = await numberingClient(central, 1, sales(1, 4 * chunkBets, 3))
    assert.strictEqual((await one.send()).type_message, 1)
    rmSync(central.ledgerPath)
    await central.waitForLine(displaced)
    assert.strictEqual((await central.stop()).code, 0)
    await central.spawn()
    assert.strictEqual((await central.ended()).code, 1)
    assert.include(central.errors, "1 chunks were acknowledged and 0 are there")
  })
})
