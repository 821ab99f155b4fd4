/** A server that stands still while its agency moves to another: what it had begun is void when it goes on. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Postgres } from "../support/Postgres.ts"
import { sales } from "../support/Sales.ts"
import { TcpProxy } from "../support/TcpProxy.ts"
import { waitUntil } from "../support/WaitUntil.ts"
import { Wire } from "../support/Wire.ts"
import { Servers } from "./Servers.ts"
import { SharedLedger } from "./SharedLedger.ts"

const agency = 1
const chunkBets = 200
const bets = sales(agency, 5 * chunkBets)
const chunk = (seq: number, from: number, type = 1) => ({
  type_message: type,
  agency,
  seq,
  payload: bets.slice(from * chunkBets, (from + 1) * chunkBets)
})
/** Less than a chunk's bets take, more than anything else that a server says to PostgreSQL. */
const chunkBytes = 5000

describe("a server that stands still in the middle of a chunk", () => {
  let postgres: Postgres
  beforeAll(async () => {
    postgres = await Postgres.start()
  })
  afterAll(() => postgres[Symbol.asyncDispose]())

  it("stores nothing any more and answers nothing when it goes on after its agency has moved", async () => {
    const ledger = await SharedLedger.create(postgres)
    await using proxy = await TcpProxy.start(postgres.port)
    await using servers = await Servers.start([ledger.url(proxy.port), ledger.url()], {
      agencies: 2,
      settings: { log: { level: "DEBUG" } }
    })
    const stale = servers.at(0)
    using before = await Wire.connect(stale.betsPort)
    assert.include(await before.ask(chunk(1, 0)), { type_message: 1, seq: 1 })

    proxy.set("stall", ["up"])
    before.send(chunk(2, 1))
    await waitUntil("the chunk's way to PostgreSQL", () => proxy.held("up") > chunkBytes)
    stale.signal("SIGSTOP")
    using after = await Wire.connect(servers.at(1).betsPort)
    assert.include(await after.ask(chunk(2, 2)), { type_message: 1, seq: 2 })
    proxy.heal()
    assert.include(await after.ask(chunk(3, 3)), { type_message: 1, seq: 3 })
    stale.signal("SIGCONT")

    assert.deepStrictEqual(await before.gone(), [])
    await stale.waitForLine("action: connection_closed | result: success")
    assert.include(stale.log, "reason: superseded")
    assert.include(await after.ask(chunk(4, 4, 2)), { type_message: 1, seq: 4 })
    assert.deepStrictEqual(await ledger.betsOf(agency), [
      ...bets.slice(0, chunkBets),
      ...bets.slice(2 * chunkBets)
    ])
    // It still serves others.
    using other = await Wire.connect(stale.betsPort)
    const payload = sales(2, 3)
    assert.include(await other.ask({ type_message: 1, agency: 2, seq: 1, payload }), { seq: 1 })
  })

  it("and of which the chunk was stored: another server knows it for a repeat", async () => {
    const ledger = await SharedLedger.create(postgres)
    await using proxy = await TcpProxy.start(postgres.port)
    await using servers = await Servers.start([ledger.url(proxy.port), ledger.url()], {
      agencies: 2
    })
    const stale = servers.at(0)
    using before = await Wire.connect(stale.betsPort)
    assert.include(await before.ask(chunk(1, 0)), { type_message: 1, seq: 1 })
    proxy.set("stall", ["down"])
    before.send(chunk(2, 1))
    await waitUntil(
      "the chunk in PostgreSQL",
      async () => (await ledger.counts()).get(agency) === 2 * chunkBets
    )
    stale.signal("SIGSTOP")
    using after = await Wire.connect(servers.at(1).betsPort)
    assert.include(await after.ask(chunk(2, 1)), { type_message: 1, seq: 2, duplicate: true })
    assert.include(await after.ask(chunk(3, 2)), { type_message: 1, seq: 3 })
    proxy.heal()
    stale.signal("SIGCONT")
    // What it may still say is true.
    for (const answer of await before.gone()) assert.include(answer, { type_message: 1, seq: 2 })
    assert.deepStrictEqual(await ledger.betsOf(agency), bets.slice(0, 3 * chunkBets))
  })
})
