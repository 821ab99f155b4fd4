/**
 * `ledger begin` in a database: begins the next lottery beside the last one, which stays as it is. A lottery in which
 * nothing is stored is begun again instead, with the new values.
 */
import { Effect } from "effect"
import { formatRoster } from "../../domain/Agency.ts"
import type { PostgresUrl } from "../base/PostgresUrl.ts"
import { LedgerInUse, LedgerUnreadable } from "../ledger/BetLedger.ts"
import { isNull } from "../ledger/postgres/Columns.ts"
import { migrate } from "../ledger/postgres/Migrations.ts"
import { checkServer } from "../ledger/postgres/ServerCheck.ts"
import { notOpened } from "../ledger/postgres/SqlFailures.ts"
import { unfinishedProblem } from "../ledger/postgres/UnfinishedCopy.ts"
import { rowChecksum } from "../ledger/RowChecksum.ts"
import { findLottery, readAgencies, readTold } from "./DatabaseLottery.ts"
import {
  connectDatabase,
  damagedIn,
  type Database,
  inSnapshot,
  linkOptionsOf
} from "./DatabaseReader.ts"
import { requireNoServers } from "./DatabaseServers.ts"
import {
  type Begun,
  DrawNameTaken,
  type NewLottery,
  nextDrawName,
  oldLotteryOf,
  refusalOf
} from "./NextLottery.ts"

/** `anyway`: even where agencies would lose something. */
export const beginDatabase = Effect.fnUntraced(
  function*(url: PostgresUrl, lottery: NewLottery, anyway: boolean) {
    const database = yield* connectDatabase(url)
    const { links, name } = database
    yield* Effect.andThen(checkServer(links, name), migrate(links, linkOptionsOf(url), name)).pipe(
      Effect.catchTag("LedgerUnavailable", notOpened(name))
    )
    const last = yield* readLast(database)
    const refusal = last && refusalOf(name, "database", last.old, lottery, anyway)
    if (refusal !== undefined) return yield* refusal
    const draw = lottery.draw ?? nextDrawName(last?.old)
    // What has bets and no draw was refused: this one is empty.
    const empty = last !== undefined && last.old.heldAt === undefined ? last : undefined
    const isDone = empty === undefined
      ? yield* begin(database, lottery, draw)
      : yield* replace(database, empty.id, lottery, draw)
    if (!isDone) return yield* new DrawNameTaken({ path: name, draw })
    const beside = empty === undefined ? last?.old.draw : undefined
    const begun: Begun = { draw, archive: undefined, beside }
    return begun
  },
  Effect.scoped,
  Effect.uninterruptible
)

/** The lottery that began last. */
const readLast = (database: Database) =>
  inSnapshot(database, "begin", (connection) =>
    Effect.gen(function*() {
      const lottery = yield* findLottery(connection, undefined)
      if (lottery === undefined) return
      if (lottery.isUnfinished) {
        return yield* new LedgerUnreadable({
          path: database.name,
          problem: unfinishedProblem(lottery.draw)
        })
      }
      const damages: Array<string> = lottery.isIntact
        ? []
        : ["the lottery is not the one that began"]
      const agencies = yield* readAgencies(connection, lottery.id)
      const told = yield* readTold(connection, lottery.id, (what) => damages.push(what))
      const [damage] = damages
      if (damage !== undefined) return yield* damagedIn(database.name, damage)
      const standings = new Map([...agencies].map(([agency, { standing }]) => [agency, standing]))
      return { id: lottery.id, old: oldLotteryOf(lottery, standings, lottery.heldAt, told) }
    }))

const values = ({ roster, winningNumber }: NewLottery, draw: string) => {
  const notation = formatRoster(roster)
  const checksum = rowChecksum(notation, winningNumber, draw)
  return [draw, notation, winningNumber, BigInt(checksum), roster.map(BigInt)]
}

/** False if the name is taken. */
const begin = ({ links }: Database, lottery: NewLottery, draw: string) =>
  links.use("begin", (connection) =>
    Effect.map(
      connection.query(
        "SELECT begin_lottery(false, $1, $2, $3, $4, $5) AS id",
        values(lottery, draw)
      ),
      ({ rows: [row] }) => !isNull(row, "id")
    ))

/** False if the name is taken. A server that runs would go on with the old values. */
const replace = Effect.fnUntraced(function*(
  database: Database,
  id: number,
  lottery: NewLottery,
  draw: string
) {
  const { links, name } = database
  yield* requireNoServers(database, "begin")
  const { rows: [row] } = yield* links.use("begin", (connection) =>
    connection.query(
      "SELECT replace_empty_lottery($1, $2, $3, $4, $5, $6) AS is_done",
      [BigInt(id), ...values(lottery, draw)]
    ))
  // A bet was stored meanwhile.
  if (isNull(row, "is_done")) return yield* new LedgerInUse({ path: name })
  return row?.["is_done"] === true
})
