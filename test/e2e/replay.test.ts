/** An agency from the field that starts again from the top of its file, without `seq`. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Central } from "../support/Central.ts"
import { FieldAgency, type FieldAnswer } from "../support/FieldAgency.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { sales, winnersOf } from "../support/Sales.ts"

describe("an agency that starts again from the top", () => {
  it.each([10, 7, 100, 1])(
    "after it was killed half way is stored once, in chunks of 10 first and of %i then",
    async (chunkSize) => {
      await using central = await Central.start({ agencies: "3," })
      const bets = sales(3, 100, 4)
      using killed = await FieldAgency.open(central, 3)
      await killed.sendBets(bets.slice(0, 50), 10, false)
      killed.vanish()
      using again = await FieldAgency.open(central, 3)
      const { logged, winners } = await again.work(bets, chunkSize)
      assert.strictEqual(logged, 100)
      assert.deepStrictEqual(winners, winnersOf(bets))
      using ledger = new LedgerFile(central.ledgerPath)
      assert.deepStrictEqual(ledger.betsOf(3), bets)
    }
  )

  it("with its answer unread is stored once", async () => {
    await using central = await Central.start({ agencies: "3," })
    const bets = sales(3, 60, 2)
    using killed = await FieldAgency.open(central, 3)
    await killed.sendBets(bets.slice(0, 20), 20, false)
    // Sent, and gone before the answer: whether it was stored is for the central to sort out.
    const unanswered = killed.sendChunk(bets.slice(20, 40)).catch(() => undefined)
    killed.vanish()
    await unanswered
    using again = await FieldAgency.open(central, 3)
    const { logged, winners } = await again.work(bets, 20)
    assert.strictEqual(logged, 60)
    assert.deepStrictEqual(winners, winnersOf(bets))
    using ledger = new LedgerFile(central.ledgerPath)
    assert.deepStrictEqual(ledger.betsOf(3), bets)
  })

  describe("on one central", () => {
    let central: Central
    let lastAgency = 0
    /** Each test has an agency of its own; the draw never comes. */
    const newAgency = () => ++lastAgency

    beforeAll(async () => {
      central = await Central.start({ agencies: 100 })
    })
    afterAll(() => central[Symbol.asyncDispose]())

    const assertRejected = (answer: FieldAnswer | undefined, code: string) => {
      assert.strictEqual(answer?.type_message, 3)
      assert.strictEqual(answer?.["code"], code)
    }
    const stored = (agency: number) => {
      using ledger = new LedgerFile(central.ledgerPath)
      return ledger.betsOf(agency)
    }

    it("and goes on selling where it had got to", async () => {
      const id = newAgency()
      const bets = sales(id, 40)
      using first = await FieldAgency.open(central, id)
      await first.sendBets(bets.slice(0, 20), 5, false)
      using second = await FieldAgency.open(central, id)
      assert.strictEqual(await second.sendBets(bets, 8, false), 40)
      assert.deepStrictEqual(stored(id), bets)
    })

    it("with empty chunks among the others is stored once", async () => {
      const id = newAgency()
      const bets = sales(id, 20)
      using first = await FieldAgency.open(central, id)
      await first.sendBets(bets.slice(0, 10), 10, false)
      using second = await FieldAgency.open(central, id)
      for (const chunk of [[], bets.slice(0, 5), [], bets.slice(5, 20), []]) {
        assert.strictEqual((await second.sendChunk(chunk))?.type_message, 1)
      }
      assert.deepStrictEqual(stored(id), bets)
    })

    it("with other bets from the first on sells anew", async () => {
      const id = newAgency()
      const [old, fresh] = [sales(id, 20).slice(0, 10), sales(id, 20).slice(10)]
      using first = await FieldAgency.open(central, id)
      await first.sendBets(old, 10, false)
      using second = await FieldAgency.open(central, id)
      assert.strictEqual(await second.sendBets(fresh, 4, false), 10)
      assert.deepStrictEqual(stored(id), [...old, ...fresh])
    })

    it("and differs after a partial match is refused with REPLAY_MISMATCH and closed", async () => {
      const id = newAgency()
      const bets = sales(id, 30)
      using first = await FieldAgency.open(central, id)
      await first.sendBets(bets.slice(0, 20), 10, false)
      using second = await FieldAgency.open(central, id)
      assert.strictEqual((await second.sendChunk(bets.slice(0, 8)))?.type_message, 1)
      const answer = await second.sendChunk([...bets.slice(8, 10), ...bets.slice(25, 30)])
      assertRejected(answer, "REPLAY_MISMATCH")
      await second.betsClosed()
      assert.deepStrictEqual(stored(id), bets.slice(0, 20))
    })

    it("and ends before its stored bets do is refused with REPLAY_MISMATCH and closed", async () => {
      const id = newAgency()
      const bets = sales(id, 30)
      using first = await FieldAgency.open(central, id)
      await first.sendBets(bets, 10, false)
      using second = await FieldAgency.open(central, id)
      const answer = await second.sendChunk(bets.slice(0, 20), true)
      assertRejected(answer, "REPLAY_MISMATCH")
      await second.betsClosed()
      assert.deepStrictEqual(stored(id), bets)
      // It has not finished by that: the whole file still can.
      using third = await FieldAgency.open(central, id)
      assert.strictEqual(await third.sendBets(bets, 30, true), 30)
      await third.betsClosed()
    })

    it("when it had finished gets its answers and the close again", async () => {
      const id = newAgency()
      const bets = sales(id, 25)
      using first = await FieldAgency.open(central, id)
      await first.sendBets(bets, 10, true)
      await first.betsClosed()
      for (const chunkSize of [10, 3, 25]) {
        using again = await FieldAgency.open(central, id)
        assert.strictEqual(await again.sendBets(bets, chunkSize, true), 25)
        await again.betsClosed()
      }
      assert.deepStrictEqual(stored(id), bets)
    })

    it("when it had finished, with another first bet, is refused with AGENCY_FINISHED", async () => {
      const id = newAgency()
      const bets = sales(id, 25)
      using first = await FieldAgency.open(central, id)
      await first.sendBets(bets.slice(0, 20), 10, true)
      using second = await FieldAgency.open(central, id)
      const answer = await second.sendChunk(bets.slice(20))
      assertRejected(answer, "AGENCY_FINISHED")
      await second.betsClosed()
      assert.deepStrictEqual(stored(id), bets.slice(0, 20))
    })

    it("when it had finished, with bets beyond the stored ones, is refused with AGENCY_FINISHED", async () => {
      const id = newAgency()
      const bets = sales(id, 25)
      using first = await FieldAgency.open(central, id)
      await first.sendBets(bets.slice(0, 20), 10, true)
      using second = await FieldAgency.open(central, id)
      const answer = await second.sendChunk(bets)
      assertRejected(answer, "AGENCY_FINISHED")
      assert.deepStrictEqual(stored(id), bets.slice(0, 20))
    })
  })
})
