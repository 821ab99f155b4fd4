/** Whether a central would begin a lottery in a database, or tables. */
import { Effect } from "effect"
import type { PostgresUrl } from "../base/PostgresUrl.ts"
import { checkMigration, noTables, olderTables } from "../ledger/postgres/Migrations.ts"
import { checkServer } from "../ledger/postgres/ServerCheck.ts"
import { notOpened } from "../ledger/postgres/SqlFailures.ts"
import { findLottery } from "./DatabaseLottery.ts"
import { connectDatabase, inSnapshot, openDatabase } from "./DatabaseReader.ts"

/** In words; undefined if the central would continue with the lottery that is there. Fails where it wouldn't start. */
export const describeBegin = Effect.fnUntraced(function*(
  url: PostgresUrl,
  draw: string | undefined
) {
  const { links, name } = yield* connectDatabase(url)
  yield* Effect.andThen(checkServer(links, name), checkMigration(links, name)).pipe(
    Effect.catchTag("LedgerUnavailable", notOpened(name))
  )
  return yield* openDatabase(url).pipe(
    Effect.flatMap((database) =>
      inSnapshot(database, "open", (connection) => findLottery(connection, draw))
    ),
    Effect.map((lottery) =>
      lottery === undefined
        ? `${name}: no ${draw === undefined ? "ledger" : `draw ${draw}`} yet; the central begins it`
        : undefined
    ),
    // The central makes the tables, and brings them up to date.
    Effect.catchTag(
      "LedgerUnreadable",
      (error) =>
        error.problem === noTables || error.problem === olderTables
          ? Effect.succeed(error.message)
          : Effect.fail(error)
    )
  )
}, Effect.scoped)
