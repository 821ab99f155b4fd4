/** Copies a ledger into a database, as a lottery that is marked as unfinished until it is complete. */
import type { PgConnection } from "@effect/sql-pg/PgConnection"
import { Effect } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { PostgresUrl } from "../base/PostgresUrl.ts"
import { LedgerInUse, type LedgerUnavailable } from "../ledger/BetLedger.ts"
import { chunkChecksum } from "../ledger/ChunkChecksum.ts"
import { migrate } from "../ledger/postgres/Migrations.ts"
import { checkServer } from "../ledger/postgres/ServerCheck.ts"
import { failSql, serverErrorOf } from "../ledger/postgres/SqlFailures.ts"
import { unfinishedCopy } from "../ledger/postgres/UnfinishedCopy.ts"
import { rowChecksum } from "../ledger/RowChecksum.ts"
import { type CopyTarget, TargetOccupied } from "./CopyTarget.ts"
import { storedLottery } from "./DatabaseLedger.ts"
import { findLottery, type LotteryRow, requireAnyLottery, toldChecksum } from "./DatabaseLottery.ts"
import { connectDatabase, type Database, inSnapshot, linkOptionsOf } from "./DatabaseReader.ts"
import { agenciesOf, type LedgerState, type StoredChunk } from "./StoredLedger.ts"

type Lottery = LedgerState["lottery"]

export const openDatabaseTarget = Effect.fnUntraced(function*(url: PostgresUrl, lottery: Lottery) {
  const database = yield* connectDatabase(url)
  yield* checkServer(database.links, database.name)
  yield* migrate(database.links, linkOptionsOf(url), database.name)
  const find = inSnapshot(
    database,
    "copy",
    (connection) => findLottery(connection, lottery.draw)
  )
  if ((yield* find) === undefined) yield* begin(database, lottery)
  const row = yield* inSnapshot(
    database,
    "copy",
    (connection) => requireAnyLottery(connection, database.name, lottery.draw)
  )
  const isSame = row.roster === lottery.roster && row.winningNumber === lottery.winningNumber
    && row.beganAt === lottery.beganAt
  if (!isSame) {
    const what = `it holds another lottery of the name ${lottery.draw}`
    return yield* new TargetOccupied({ path: database.name, what })
  }
  const stored = storedLottery(database, row, requireAnyLottery)
  const totals = new Map(
    [...(yield* stored.state("copy")).standings].map(([agency, { bets }]) => [agency, bets])
  )
  const target: CopyTarget = {
    stored,
    isComplete: !row.isUnfinished,
    append: (chunks) => append(database, row, totals, chunks),
    complete: (state) => complete(database, row, state)
  }
  return target
})

/** A transaction of its own. An error that the database answers leaves nothing behind. */
const inTransaction = (
  { links, name }: Database,
  work: (connection: PgConnection) => Effect.Effect<unknown, SqlError | LedgerInUse>
): Effect.Effect<void, LedgerInUse | LedgerUnavailable> =>
  links.attempt((connection) =>
    connection.query("BEGIN").pipe(
      Effect.andThen(work(connection)),
      Effect.tapError(() => Effect.ignore(connection.query("ROLLBACK"))),
      Effect.andThen(Effect.asVoid(connection.query("COMMIT")))
    )
  ).pipe(
    Effect.catchTag(
      "SqlError",
      (error): Effect.Effect<never, LedgerInUse | LedgerUnavailable> =>
        // Another copy is under way, and was faster.
        serverErrorOf(error)?.code === uniqueViolation
          ? Effect.fail(new LedgerInUse({ path: name }))
          : failSql("copy")(error)
    )
  )

const uniqueViolation = "23505"

const begin = (database: Database, lottery: Lottery) =>
  inTransaction(database, (connection) =>
    Effect.gen(function*() {
      const { beganAt, draw, roster, winningNumber } = lottery
      yield* connection.query("SELECT begin_lottery(false, $1, $2, $3, $4, $5)", [
        draw,
        roster,
        winningNumber,
        BigInt(unfinishedCopy),
        agenciesOf(lottery).map(BigInt)
      ])
      yield* connection.query(
        "UPDATE lottery SET began_at = $2::text::timestamptz WHERE draw = $1 AND checksum = $3",
        [draw, beganAt, BigInt(unfinishedCopy)]
      )
    }))

const storeStatement = `WITH stored AS (
    INSERT INTO chunk (lottery, agency, seq, epoch, last, bets, total, checksum, numbers, body)
    SELECT $1::bigint, agency, seq, 1, last, bets, total, checksum, numbers, body
    FROM unnest($2::bigint[], $3::bigint[], $4::boolean[], $5::integer[], $6::bigint[], $7::bigint[],
      $8::bytea[], $9::text[]) c (agency, seq, last, bets, total, checksum, numbers, body)
    RETURNING agency, last
  )
  UPDATE agency a SET epoch = 1, finished = s.finished
  FROM (SELECT agency, bool_or(last) AS finished FROM stored GROUP BY agency) s
  WHERE a.lottery = $1::bigint AND a.agency = s.agency
    AND (a.epoch, a.finished) IS DISTINCT FROM (1, s.finished)`

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** Another copy may have been faster, and servers may write to what it has completed. */
const requireUnfinished = (connection: PgConnection, path: string, lottery: bigint) =>
  Effect.flatMap(
    connection.query(
      "SELECT id FROM lottery WHERE id = $1::bigint AND checksum = $2::bigint FOR UPDATE",
      [lottery, BigInt(unfinishedCopy)]
    ),
    ({ rows }) => rows.length > 0 ? Effect.void : new LedgerInUse({ path })
  )

/** `totals` are the agencies' bets so far. */
const append = (
  database: Database,
  { id }: LotteryRow,
  totals: Map<number, number>,
  chunks: ReadonlyArray<StoredChunk>
) => {
  const after = new Map(totals)
  const rows = chunks.map((chunk) => {
    const { agency, bets, body, last, numbers, seq } = chunk
    const total = (after.get(agency) ?? 0) + bets
    after.set(agency, total)
    const checksum = chunkChecksum(agency, seq, last ? 1 : 0, bets, numbers, body)
    return { ...chunk, total, checksum }
  })
  const columns = [
    BigInt(id),
    rows.map(({ agency }) => BigInt(agency)),
    rows.map(({ seq }) => BigInt(seq)),
    rows.map(({ last }) => last),
    rows.map(({ bets }) => bets),
    rows.map(({ total }) => BigInt(total)),
    rows.map(({ checksum }) => BigInt(checksum)),
    rows.map(({ numbers }) => numbers),
    rows.map(({ body }) => utf8.decode(body))
  ]
  return Effect.tap(
    inTransaction(database, (connection) =>
      Effect.andThen(
        requireUnfinished(connection, database.name, BigInt(id)),
        connection.query(storeStatement, columns)
      )),
    () =>
      Effect.sync(() => {
        for (const [agency, total] of after) totals.set(agency, total)
      })
  )
}

const complete = (database: Database, { id }: LotteryRow, state: LedgerState) =>
  inTransaction(database, (connection) =>
    Effect.gen(function*() {
      const lottery = BigInt(id)
      yield* requireUnfinished(connection, database.name, lottery)
      if (state.held !== undefined) yield* storeDraw(connection, lottery, state.held)
      const told = [...state.told.values()]
      yield* connection.query(
        `INSERT INTO told (lottery, agency, how, told_at, address, port, served, checksum)
         SELECT $1::bigint, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::integer[],
           $7::boolean[], $8::bigint[])`,
        [
          lottery,
          told.map(({ agency }) => BigInt(agency)),
          told.map(({ how }) => how),
          told.map(({ at }) => at),
          told.map(({ address }) => address),
          told.map(({ port }) => port),
          told.map(({ served }) => served),
          told.map((record) => BigInt(toldChecksum(record)))
        ]
      )
      const { draw, roster, winningNumber } = state.lottery
      yield* connection.query("UPDATE lottery SET checksum = $2::bigint WHERE id = $1::bigint", [
        lottery,
        BigInt(rowChecksum(roster, winningNumber, draw))
      ])
    }))

const storeDraw = Effect.fnUntraced(function*(
  connection: PgConnection,
  lottery: bigint,
  { draw: { heldAt, winningNumber }, winners }: NonNullable<LedgerState["held"]>
) {
  const rows = [...winners].flatMap(([agency, documents]) =>
    documents.map((document, index) => ({ agency, position: index + 1, document }))
  )
  yield* connection.query(
    "INSERT INTO draw (lottery, winning_number, winners, checksum) VALUES ($1::bigint, $2, $3::bigint, $4::bigint)",
    [lottery, winningNumber, BigInt(rows.length), BigInt(rowChecksum(winningNumber, rows.length))]
  )
  yield* connection.query(
    `INSERT INTO winner (lottery, agency, position, document, checksum)
     SELECT $1::bigint, * FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::bigint[])`,
    [
      lottery,
      rows.map(({ agency }) => BigInt(agency)),
      rows.map(({ position }) => BigInt(position)),
      rows.map(({ document }) => document),
      rows.map((row) => BigInt(rowChecksum(row.agency, row.position, row.document)))
    ]
  )
  yield* connection.query(
    `UPDATE lottery SET held_at = $2::text::timestamptz, held_by = 'ledger copy', confirmed_at = now()
     WHERE id = $1::bigint`,
    [lottery, heldAt]
  )
})
