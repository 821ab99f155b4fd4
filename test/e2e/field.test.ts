/** Agencies from the field, which know nothing of this project, against the real server. */
import { assert, describe, it } from "@effect/vitest"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Central, type CentralOptions, runMain } from "../support/Central.ts"
import { FieldAgency } from "../support/FieldAgency.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { csvLine, sales, winnersOf } from "../support/Sales.ts"

type Plan = ReadonlyMap<number, ReadonlyArray<string>>

const planOf = (agencies: number, bets: (agency: number) => ReadonlyArray<string>): Plan =>
  new Map(Array.from({ length: agencies }, (_, index) => [index + 1, bets(index + 1)]))

/** Uneven, and one agency without a winner and one without a bet. */
const fiveAgencies = planOf(
  5,
  (agency) => sales(agency, agency === 4 ? 0 : agency * 37, agency - 1)
)

const work = async (central: Central, id: number, bets: ReadonlyArray<string>, chunk: number) => {
  using agency = await FieldAgency.open(central, id)
  return await agency.work(bets, chunk)
}

/** All agencies at once, all bets logged, each told exactly its own winners, each bet stored once and in order. */
const assertServed = async (central: Central, plan: Plan, chunkSize: number): Promise<void> => {
  await Promise.all([...plan].map(async ([id, bets]) => {
    const { logged, winners } = await work(central, id, bets, chunkSize)
    assert.strictEqual(logged, bets.length, `bets of agency ${id} logged`)
    assert.deepStrictEqual(winners, winnersOf(bets), `winners of agency ${id}`)
  }))
  using ledger = new LedgerFile(central.ledgerPath)
  for (const [id, bets] of plan) assert.deepStrictEqual(ledger.betsOf(id), bets)
}

describe("agencies from the field", () => {
  it.each<[chunkSize: number, workers: number]>([[1, 8], [10, 1], [100, 8], [1000, 1]])(
    "each get exactly their winners, with chunks of %i and %i workers",
    async (chunkSize, workers) => {
      await using central = await Central.start({ settings: { workers } })
      await assertServed(central, fiveAgencies, chunkSize)
      assert.strictEqual((await central.stop()).code, 0)
      assert.lengthOf(central.lines("action: sorteo | result: success"), 1)
    }
  )

  it("are served two hundred at once", async () => {
    const options: CentralOptions = {
      agencies: 200,
      settings: { workers: 4, parsers: { processes: 2 } }
    }
    await using central = await Central.start(options)
    await assertServed(central, planOf(200, (agency) => sales(agency, 20, agency % 3)), 7)
  })

  it("wait with an idle consult connection until the last agency is done", async () => {
    await using central = await Central.start({ agencies: "3,5" })
    using early = await FieldAgency.open(central, 3)
    await early.sendBets(sales(3, 30, 2), 10, true)
    const told = early.consult()
    let answered = false
    const noting = told.then(() => (answered = true))
    using late = await FieldAgency.open(central, 5)
    await late.sendBets(sales(5, 10), 10, false)
    assert.isFalse(answered, "winners were told before the draw")
    await late.sendBets([], 10, true)
    assert.deepStrictEqual(await told, winnersOf(sales(3, 30, 2)))
    assert.deepStrictEqual(await late.consult(), [])
    await noting
  })

  it("are served beside our own agency", async () => {
    await using central = await Central.start({ agencies: 3 })
    const ours = sales(2, 120, 3)
    const file = join(central.folder, "agency-2.csv")
    // The agency's own file holds no agency number.
    await writeFile(file, ours.map((bet) => csvLine(2, bet).slice("2,".length)).join(""))
    const [ran, first, third] = await Promise.all([
      runMain([
        "agency",
        "--id=2",
        `--file=${file}`,
        `--server=127.0.0.1:${central.betsPort}`,
        `--consult=127.0.0.1:${central.consultPort}`
      ]),
      work(central, 1, sales(1, 50, 1), 10),
      work(central, 3, sales(3, 50, 4), 10)
    ])
    assert.strictEqual(ran.code, 0, ran.stdout + ran.stderr)
    assert.include(ran.stderr, "action: consulta_ganadores | result: success | cant_ganadores: 3")
    for (const document of winnersOf(ours)) assert.include(ran.stdout, document)
    assert.deepStrictEqual(first.winners, winnersOf(sales(1, 50, 1)))
    assert.deepStrictEqual(third.winners, winnersOf(sales(3, 50, 4)))
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(2), ours)
  })

  it("are told nothing wrong when they go on after a refusal: the connection is closed at once", async () => {
    await using central = await Central.start({ agencies: 1 })
    using agency = await FieldAgency.open(central, 1)
    const [good, bad] = [sales(1, 5), ["Ana,Lorca,1,2001-02-29,5"]]
    assert.strictEqual((await agency.sendChunk(good))?.type_message, 1)
    assert.strictEqual((await agency.sendChunk(bad))?.type_message, 3)
    await agency.betsClosed()
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(1), good)
  })
})
