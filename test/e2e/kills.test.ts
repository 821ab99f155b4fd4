/** An agency and a central that are killed again and again, each in the middle of the same file. */
import { assert, describe, it } from "@effect/vitest"
import { once } from "node:events"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Central } from "../support/Central.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { Program } from "../support/Program.ts"
import { csvLine, sales, winnersOf } from "../support/Sales.ts"
import { waitUntil } from "../support/WaitUntil.ts"

/** Ports that were free a moment ago: a central that is started again must be where it was. */
const freePorts = async (count: number): Promise<ReadonlyArray<number>> => {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"))
  await Promise.all(servers.map((server) => once(server, "listening")))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  for (const server of servers) server.close()
  return ports
}

const kills = 4

describe("kills on both sides", () => {
  it("leave every bet stored once and in order, without intervention", async () => {
    const folder = await mkdtemp(join(tmpdir(), "loteria-"))
    try {
      const [betsPort = 0, consultPort = 0] = await freePorts(2)
      const host = "127.0.0.1"
      await using central = await Central.start({
        agencies: 1,
        settings: { bets: { host, port: betsPort }, consult: { host, port: consultPort } }
      })
      const bets = sales(1, 6000, 5)
      const file = join(folder, "agency-1.csv")
      await writeFile(file, bets.map((bet) => csvLine(1, bet).slice(2)).join(""))
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
      assert.strictEqual(await agency.ended(60_000), 0, agency.stderr)
      assert.deepStrictEqual(agency.stdout.trim().split("\n").slice(-5), winnersOf(bets))
      using ledger = new LedgerFile(central.ledgerPath)
      assert.deepStrictEqual(ledger.betsOf(1), bets)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
})
