/** An agency and a central that are killed again and again, each in the middle of the same file. */
import { assert, describe, it } from "@effect/vitest"
import { Central } from "../support/Central.ts"
import { freePortPair } from "../support/FreePorts.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { Program } from "../support/Program.ts"
import { betFile, sales, winnersOf } from "../support/Sales.ts"
import { TemporaryFolder } from "../support/TemporaryFolder.ts"
import { waitUntil } from "../support/WaitUntil.ts"

const kills = 4

describe("kills on both sides", () => {
  it("leave every bet stored once and in order, without intervention", async () => {
    using folder = new TemporaryFolder()
    const betsPort = await freePortPair()
    const consultPort = betsPort + 1
    const host = "127.0.0.1"
    await using central = await Central.start({
      agencies: 1,
      settings: { bets: { host, port: betsPort }, consult: { host, port: consultPort } }
    })
    const bets = sales(1, 6000, 5)
    const file = folder.write("agency-1.csv", betFile(bets))
    const start = () =>
      new Program([
        "agency",
        "--id=1",
        `--file=${file}`,
        `--server=${host}:${betsPort}`,
        `--consult=${host}:${consultPort}`,
        "--chunk=5"
      ])
    const stored = () => {
      using ledger = new LedgerFile(central.ledgerPath)
      return ledger.seqs(1).length
    }
    let agency = start()
    for (let kill = 1; kill <= kills; kill++) {
      const before = stored()
      await waitUntil("more chunks stored", () => stored() > before + 20)
      if (kill % 2 === 0) {
        agency.signal("SIGKILL")
        await agency.ended()
        agency = start()
      } else {
        await central.kill()
        await central.start()
      }
    }
    assert.strictEqual(await agency.ended(100_000), 0, agency.stderr)
    assert.deepStrictEqual(agency.stdout.trim().split("\n").slice(-5), winnersOf(bets))
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(1), bets)
  })
})
