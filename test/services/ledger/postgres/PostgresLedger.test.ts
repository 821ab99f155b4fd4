/** The ledger in PostgreSQL does what every home must do, and what one must that several servers use at once. */
import { afterAll, beforeAll, describe } from "@effect/vitest"
import { Effect, Layer, Result } from "effect"
import { parsePostgresUrl } from "../../../../src/services/base/PostgresUrl.ts"
import { postgresLedgerLayer } from "../../../../src/services/ledger/postgres/PostgresLedger.ts"
import { BetLedgerSuite } from "../../../suites/BetLedgerSuite.ts"
import { SharedLedgerSuite, type SharedStore } from "../../../suites/SharedLedgerSuite.ts"
import { strictKeeperLayer } from "../../../support/Kept.ts"
import { Postgres, postgresKinds } from "../../../support/Postgres.ts"

for (const { kind, name, skipped } of postgresKinds) {
  describe.skipIf(skipped)(`the ledger in ${name}`, () => {
    let postgres: Postgres
    beforeAll(async () => {
      postgres = await Postgres.start({ kind })
    })
    afterAll(() => postgres[Symbol.asyncDispose]())

    const makeStore = Effect.map(
      Effect.promise(() => postgres.createDatabase()),
      (text): SharedStore => {
        const url = Result.getOrThrow(parsePostgresUrl(text))
        return {
          layer: (lottery, server) =>
            Layer.provide(
              postgresLedgerLayer({ url, server, draw: undefined, ...lottery }),
              strictKeeperLayer
            )
        }
      }
    )

    BetLedgerSuite(
      "it",
      Effect.map(makeStore, ({ layer }) => ({ layer: (lottery) => layer(lottery, "one") }))
    )
    SharedLedgerSuite("it", makeStore)
  })
}
