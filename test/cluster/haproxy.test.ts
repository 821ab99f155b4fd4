/** A real HAProxy, with the committed configuration, in front of three servers over one PostgreSQL. */
import { assert, describe, it } from "@effect/vitest"
import { connect } from "node:net"
import { Central } from "../support/Central.ts"
import { FieldAgency } from "../support/FieldAgency.ts"
import { freePort, freePortPair } from "../support/FreePorts.ts"
import { Haproxy, haproxyConfiguration } from "../support/Haproxy.ts"
import { missing } from "../support/Installed.ts"
import { ourAgency } from "../support/OurAgency.ts"
import { Postgres } from "../support/Postgres.ts"
import { sales, winnersOf } from "../support/Sales.ts"
import { waitUntil } from "../support/WaitUntil.ts"

const reason = missing("haproxy")

const chunkBets = 10

const listens = (port: number) =>
  waitUntil(`a listener on port ${port}`, () =>
    new Promise<boolean>((resolve) => {
      const socket = connect({ host: "127.0.0.1", port })
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false))
      socket.once("connect", () => socket.destroy())
    }))

const stored = (central: Central, agency: number): boolean =>
  central.lines("action: apuestas_almacenadas | result: success")
    .some((line) => line.includes(`agencia: ${agency} `))

/** Bets that come in two parts: the second after it was released. */
const inTwoParts = (bets: ReadonlyArray<string>) => {
  const half = bets.length / 2
  let release = () => {}
  const released = new Promise<void>((resolve) => (release = resolve))
  const come = async function*() {
    yield* bets.slice(0, half)
    await released
    yield* bets.slice(half)
  }
  return { come, half, release }
}

/** On ports that it keeps when it is started again. */
const prepare = async (url: string): Promise<Central> => {
  const host = "127.0.0.1"
  const port = await freePortPair()
  return Central.prepare({
    agencies: 4,
    environment: { LEDGER_URL: url },
    settings: {
      bets: { host, port },
      consult: { host, port: port + 1 },
      operations: { port: await freePort() }
    }
  })
}

describe.skipIf(reason !== undefined)(
  `HAProxy in front of three servers${reason === undefined ? "" : ` (skipped: ${reason})`}`,
  () => {
    it("keeps silent connections for a week at least, as the configuration says", () => {
      const days = [...haproxyConfiguration().matchAll(/^ {2}timeout (client|server) (\d+)d$/gm)]
      assert.sameMembers(days.map(([, side]) => side), ["client", "server"])
      for (const [, , number] of days) assert.isAtLeast(Number(number), 7)
    })

    it("one is killed: its agency goes on with another, and consults of the others are kept", async () => {
      await using postgres = await Postgres.start()
      const url = await postgres.createDatabase()
      const query = (statement: string) => postgres.query(statement, [], url)
      await using stack = new AsyncDisposableStack()
      const centrals: Array<Central> = []
      for (let count = 0; count < 3; count++) centrals.push(stack.use(await prepare(url)))
      await Promise.all(centrals.map((central) => central.start()))
      await using haproxy = await Haproxy.start(centrals)
      await listens(haproxy.betsPort)

      // Three agencies are done, and each waits for the draw on a server of its own: the one with the fewest connections.
      const answers = new Map<number, Promise<ReadonlyArray<string> | undefined>>()
      const cut: Array<number> = []
      for (const id of [1, 2, 3]) {
        const agency = stack.use(await FieldAgency.open(haproxy, id))
        await agency.sendBets(sales(id, 40, id), chunkBets, true)
        await agency.betsClosed()
        answers.set(id, agency.consult().catch(() => void cut.push(id)))
      }

      const bets = sales(4, 400, 5)
      const { come, half, release } = inTwoParts(bets)
      let known = 0
      const delivery = ourAgency({
        id: 4,
        bets: come,
        betsPort: haproxy.betsPort,
        consultPort: haproxy.consultPort,
        chunkBets,
        windowChunks: 4,
        giveUpAfterMs: 60_000,
        onStored: (count) => (known = count)
      })
      // The last ones of its window wait with it.
      await waitUntil("a good part of the first half", () => known > half / 2)
      const victim = centrals.find((central) => stored(central, 4))
      if (victim === undefined) return assert.fail("no server has it")
      await victim.kill()
      await waitUntil("the end of the consults that it had", () => cut.length > 0)
      release()
      assert.deepStrictEqual(await delivery, winnersOf(bets))
      assert.isTrue(
        centrals.some((central) => central !== victim && stored(central, 4)),
        "another server took over"
      )

      assert.lengthOf(cut, 1, "only the consult of the killed server")
      for (const [id, answer] of answers) {
        if (!cut.includes(id)) assert.deepStrictEqual(await answer, winnersOf(sales(id, 40, id)))
      }
      for (const id of cut) {
        using again = await FieldAgency.open(haproxy, id)
        assert.deepStrictEqual(await again.consult(), winnersOf(sales(id, 40, id)))
      }
      const counts = await query(
        "SELECT agency::int, sum(bets)::int AS bets FROM chunk GROUP BY agency ORDER BY agency"
      )
      assert.deepStrictEqual(
        counts.map(({ agency, bets: count }) => [agency, count]),
        [[1, 40], [2, 40], [3, 40], [4, 400]]
      )
      await waitUntil("who was told", async () => {
        const [row] = await query("SELECT count(*)::int AS told FROM told WHERE how = 'confirmed'")
        return row?.["told"] === 4
      })

      // Started again on its ports, it is given connections again.
      await victim.start()
      await waitUntil("a connection to the server that was started again", async () => {
        using agency = await FieldAgency.open(haproxy, 1)
        await agency.consult()
        return victim.lines("action: accept_connections").length > 0
      })
    })
  }
)
