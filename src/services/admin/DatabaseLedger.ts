/** A lottery in a PostgreSQL database, for reports. They need the rights to read its tables, and no others. */
import { Effect, type Scope, Stream } from "effect"
import { integer, text } from "../ledger/postgres/Columns.ts"
import { failSql } from "../ledger/postgres/SqlFailures.ts"
import { beforeAll, type ChunkPlace, isIntact, readPiece } from "./DatabaseChunks.ts"
import { type LotteryRow, readAgencies, readState, requireLottery } from "./DatabaseLottery.ts"
import { damagedIn, type Database, inSnapshot, openDatabase } from "./DatabaseReader.ts"
import type { DatabaseAddress } from "./LedgerAddress.ts"
import type { LedgerReadError, LedgerState, StoredChunk, StoredLedger } from "./StoredLedger.ts"

export const databaseLedger = Effect.fnUntraced(function*(
  { draw, url }: DatabaseAddress
): Effect.fn.Return<StoredLedger, LedgerReadError, Scope.Scope> {
  const database = yield* openDatabase(url)
  const lottery = yield* inSnapshot(
    database,
    "open",
    (connection) => requireLottery(connection, database.name, draw)
  )
  return storedLottery(database, lottery, requireLottery)
})

/** `find` finds it again by its draw, for what may have changed since, and fails where it isn't to be read. */
export const storedLottery = (
  database: Database,
  lottery: LotteryRow,
  find: typeof requireLottery
): StoredLedger => ({
  name: database.name,
  state: (operation) => stateOf(database, operation, lottery.draw, find),
  otherDraws: (operation) => otherDrawsOf(database, operation, lottery),
  bytes: (operation) => bytesOf(database, operation, lottery),
  chunks: (operation) => chunksOf(database, operation, lottery),
  damaged: (what) => damagedIn(database.name, what)
})

const stateOf = (
  database: Database,
  operation: string,
  draw: string,
  find: typeof requireLottery
): Effect.Effect<LedgerState, LedgerReadError> =>
  inSnapshot(database, operation, (connection) =>
    Effect.gen(function*() {
      const damages: Array<string> = []
      const lottery = yield* find(connection, database.name, draw)
      const state = yield* readState(connection, lottery, (what) => damages.push(what))
      const [damage] = damages
      return damage === undefined ? state : yield* damagedIn(database.name, damage)
    }))

const otherDrawsOf = ({ links }: Database, operation: string, { id }: LotteryRow) =>
  links.use(operation, (connection) =>
    Effect.map(
      connection.query(
        "SELECT draw FROM lottery WHERE id <> $1 ORDER BY began_at DESC, id DESC",
        [BigInt(id)]
      ),
      ({ rows }) => rows.map((row) => text(row, "draw"))
    ))

/** Of its chunks with their index, and without what all lotteries share. */
const bytesOf = ({ links }: Database, operation: string, { id }: LotteryRow) =>
  links.use(operation, (connection) =>
    Effect.map(
      connection.query(
        "SELECT coalesce(pg_total_relation_size(to_regclass($1)), 0) AS bytes",
        [`chunk_${id}`]
      ),
      ({ rows: [row] }) => integer(row, "bytes")
    ))

const chunksOf = (
  database: Database,
  operation: string,
  { id }: LotteryRow
): Stream.Stream<ReadonlyArray<StoredChunk>, LedgerReadError> =>
  Stream.unwrap(
    Effect.map(
      database.links.use(operation, (connection) => readAgencies(connection, id)),
      (agencies) =>
        Stream.unfold(beforeAll, (after: ChunkPlace) =>
          Effect.gen(function*() {
            const piece = yield* database.links.attempt((connection) =>
              readPiece(connection, id, after)
            ).pipe(Effect.catchTag("SqlError", failSql(operation)))
            const last = piece.at(-1)
            if (last === undefined) return
            const wrong = piece.find((chunk) => !isIntact(chunk))
            if (wrong !== undefined) {
              const what = `chunk ${wrong.seq} of agency ${wrong.agency} is not what was stored`
              return yield* damagedIn(database.name, what)
            }
            const wanted = piece.filter(({ agency, seq }) =>
              seq <= (agencies.get(agency)?.standing.seq ?? 0)
            )
            return [wanted, last] as const
          }))
    )
  )
