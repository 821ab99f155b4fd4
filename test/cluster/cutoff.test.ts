/** A server cut off from PostgreSQL, in each way and direction, and back. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { assertRefused, chunkBets, health } from "../faults/NumberingClient.ts"
import type { Central } from "../support/Central.ts"
import { FieldAgency } from "../support/FieldAgency.ts"
import { Postgres } from "../support/Postgres.ts"
import { sales, winnersOf } from "../support/Sales.ts"
import { TcpProxy } from "../support/TcpProxy.ts"
import { waitUntil } from "../support/WaitUntil.ts"
import { Wire, type WireAnswer } from "../support/Wire.ts"
import { Servers } from "./Servers.ts"
import { SharedLedger } from "./SharedLedger.ts"

const settings = {
  ledger: {
    retryFirstMs: 20,
    retryMaxMs: 200,
    postgres: { connectDeadlineMs: 1000, claimLockMs: 1000, answerDeadlineMs: 1000, pollMs: 200 }
  }
}

/** Agency 1 numbers its chunks, agency 2 is the field's. */
const [numbered, field] = [sales(1, 3 * chunkBets, 3), sales(2, 3 * chunkBets, 2)]
const chunk = (seq: number) => ({
  type_message: seq === 3 ? 2 : 1,
  agency: 1,
  seq,
  payload: numbered.slice((seq - 1) * chunkBets, seq * chunkBets)
})

/** The answer, or undefined where the connection ended instead. */
const answered = async (wire: Wire, message: unknown): Promise<WireAnswer | undefined> => {
  wire.send(message)
  const ended = wire.gone().then((answers) => answers[0])
  return Promise.race([ended, wire.answer().catch(() => ended)])
}

/** From the top, over as many connections as it takes. */
const deliverField = async (central: Central): Promise<ReadonlyArray<string>> => {
  for (;;) {
    using agency = await FieldAgency.open(central, 2)
    try {
      return (await agency.work(field, chunkBets)).winners
    } catch {
      await waitUntil("the server", () => central.running)
    }
  }
}

const deliverNumbered = async (central: Central): Promise<number> => {
  using wire = await Wire.connect(central.betsPort)
  const point = await wire.ask({ type_message: 4, agency: 1 })
  const stored = Number(point["seq"])
  for (let seq = stored + 1; seq <= 3; seq++) {
    assert.include(await wire.ask(chunk(seq)), { type_message: 1, seq })
  }
  return stored
}

const ways = (["stall", "lose"] as const).flatMap((fault) =>
  ([["up"], ["down"], ["up", "down"]] as const).map((directions) => ({ fault, directions }))
)

describe.concurrent("a server that is cut off from PostgreSQL", () => {
  let postgres: Postgres
  beforeAll(async () => {
    postgres = await Postgres.start()
  })
  afterAll(() => postgres[Symbol.asyncDispose]())

  it.for(ways)(
    "($fault $directions) refuses only what isn't stored, isn't ready, and goes on when it is back",
    async ({ directions, fault }) => {
      const ledger = await SharedLedger.create(postgres)
      await using proxy = await TcpProxy.start(postgres.port)
      await using servers = await Servers.start([ledger.url(proxy.port)], { agencies: 2, settings })
      const central = servers.at(0)
      using one = await Wire.connect(central.betsPort)
      using two = await FieldAgency.open(central, 2)
      assert.include(await one.ask(chunk(1)), { type_message: 1, seq: 1 })
      assert.strictEqual((await two.sendChunk(field.slice(0, chunkBets)))?.type_message, 1)

      proxy.set(fault, directions)
      const waiting = two.sendChunk(field.slice(chunkBets, 2 * chunkBets)).catch(() => undefined)
      // On its way to PostgreSQL, or known to be away: nobody is told what isn't known.
      const inHand = await answered(one, chunk(2))
      if (inHand !== undefined) assertRefused(inHand)
      using again = await Wire.connect(central.betsPort)
      assertRefused(await again.ask(chunk(2)))
      assert.include(await health(central), { code: 1 })
      const winners = deliverField(central)

      proxy.heal()
      // The field's agency has come with another connection, so it may be closed, but isn't refused.
      assert.oneOf((await waiting)?.type_message, [1, undefined])
      await waitUntil("the server to be ready", async () => (await health(central)).code === 0)
      const stored = await deliverNumbered(central)
      assert.isAtMost(stored, inHand === undefined ? 2 : 1, "a chunk that was refused is stored")
      assert.deepStrictEqual(await winners, winnersOf(field))
      assert.deepStrictEqual(await ledger.betsOf(1), numbered)
      assert.deepStrictEqual(await ledger.betsOf(2), field)
      assert.deepStrictEqual(await servers.stop(), [0])
    }
  )
})
