/** What a store leaves alone, so that whoever holds a snapshot (a dump, a long export) doesn't slow the intake down. */
import { assert, describe, it } from "@effect/vitest"
import { Postgres } from "../support/Postgres.ts"
import { sales } from "../support/Sales.ts"
import { waitUntil } from "../support/WaitUntil.ts"
import { Wire } from "../support/Wire.ts"
import { Servers } from "./Servers.ts"
import { SharedLedger } from "./SharedLedger.ts"

/** PostgreSQL counts rows by and by; its sessions write down what they did when they end. */
const updates = (ledger: SharedLedger, table: string): Promise<number> =>
  ledger.number(`SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = '${table}'`)

describe("a store", () => {
  it("changes no row: an agency's changes when it is claimed, and when it finishes", async () => {
    await using postgres = await Postgres.start()
    const ledger = await SharedLedger.create(postgres)
    await using servers = await Servers.start([ledger.url()], { agencies: 1 })
    const chunks = 200
    using wire = await Wire.connect(servers.at(0).betsPort)
    for (let seq = 1; seq <= chunks; seq++) {
      const payload = sales(1, 5)
      const type = seq === chunks ? 2 : 1
      const answer = await wire.ask({ type_message: type, agency: 1, seq, payload })
      assert.include(answer, { type_message: 1, seq })
    }
    await servers.stop()
    await waitUntil("PostgreSQL's counts", async () =>
      await ledger.number(
        "SELECT sum(n_tup_ins) FROM pg_stat_user_tables WHERE relname LIKE 'chunk%'"
      ) >= chunks)
    assert.strictEqual(await ledger.epochOf(1), 1)
    assert.isAtMost(await updates(ledger, "agency"), 2)
    assert.strictEqual(
      await ledger.number(
        "SELECT sum(n_tup_upd) FROM pg_stat_user_tables WHERE relname LIKE 'chunk%'"
      ),
      0
    )
  })
})
