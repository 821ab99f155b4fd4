/**
 * What a database holds of a lottery besides its chunks: read, and compared with its checksums. `onDamage` is called where
 * something isn't what was stored.
 */
import type { PgConnection } from "@effect/sql-pg/PgConnection"
import { Effect } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { ToldRecord } from "../../domain/Draw.ts"
import type { Standing } from "../../domain/Standing.ts"
import { LedgerUnreadable } from "../ledger/BetLedger.ts"
import { flag, integer, isNull, type Row, text } from "../ledger/postgres/Columns.ts"
import { noTables } from "../ledger/postgres/Migrations.ts"
import { unfinishedCopy, unfinishedProblem } from "../ledger/postgres/UnfinishedCopy.ts"
import { rowChecksum } from "../ledger/RowChecksum.ts"
import type { HeldWinners, LedgerState } from "./StoredLedger.ts"

export interface LotteryRow {
  readonly id: number
  readonly draw: string
  readonly roster: string
  readonly winningNumber: number
  /** UTC, ISO 8601. */
  readonly beganAt: string
  readonly heldAt: string | undefined
  readonly isIntact: boolean
  /** `ledger copy` writes it, and no server may open it yet. */
  readonly isUnfinished: boolean
}

type OnDamage = (what: string) => void

const utc = (column: string) =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS ${column}`

const lotteryColumns = `id, draw, roster, winning_number, checksum, ${utc("began_at")}, ${
  utc("held_at")
}`

/** The lottery whose draw has the name; without a name the one that began last. */
export const findLottery = (connection: PgConnection, draw: string | undefined) =>
  Effect.map(
    draw === undefined
      ? connection.query(
        `SELECT ${lotteryColumns} FROM lottery ORDER BY lottery.began_at DESC, id DESC LIMIT 1`
      )
      : connection.query(`SELECT ${lotteryColumns} FROM lottery WHERE draw = $1`, [draw]),
    ({ rows: [row] }) => row && lotteryOf(row)
  )

const lotteryOf = (row: Row): LotteryRow => {
  const [draw, roster] = [text(row, "draw"), text(row, "roster")]
  const winningNumber = integer(row, "winning_number")
  const checksum = integer(row, "checksum")
  const isUnfinished = checksum === unfinishedCopy
  return {
    id: integer(row, "id"),
    draw,
    roster,
    winningNumber,
    beganAt: text(row, "began_at"),
    heldAt: isNull(row, "held_at") ? undefined : text(row, "held_at"),
    isIntact: isUnfinished || checksum === rowChecksum(roster, winningNumber, draw),
    isUnfinished
  }
}

/** More draws than this aren't named. */
const namedMax = 10

/** Fails where there is no such lottery, and names those that are there. An unfinished copy is one. */
export const requireAnyLottery = Effect.fnUntraced(function*(
  connection: PgConnection,
  path: string,
  draw: string | undefined
) {
  const found = yield* findLottery(connection, draw)
  if (found !== undefined) return found
  const { rows } = yield* connection.query(
    `SELECT draw, count(*) OVER () AS draws FROM lottery ORDER BY began_at DESC, id DESC LIMIT ${namedMax}`
  )
  if (rows.length === 0) {
    return yield* new LedgerUnreadable({ path, problem: noTables })
  }
  const more = integer(rows[0], "draws") - rows.length
  const names = rows.map((row) => text(row, "draw")).join(", ")
  return yield* new LedgerUnreadable({
    path,
    problem: `it holds no draw ${draw}; it holds ${names}${more > 0 ? ` and ${more} more` : ""}`
  })
})

/** As {@link requireAnyLottery}, and fails where it is an unfinished copy. */
export const requireLottery = Effect.fnUntraced(function*(
  connection: PgConnection,
  path: string,
  draw: string | undefined
) {
  const found = yield* requireAnyLottery(connection, path, draw)
  if (found.isUnfinished) {
    return yield* new LedgerUnreadable({ path, problem: unfinishedProblem(found.draw) })
  }
  return found
})

/** An agency's row, and its last chunk. */
export interface AgencyRow {
  readonly epoch: number
  readonly standing: Standing
}

export const readAgencies = (connection: PgConnection, lottery: number) =>
  Effect.map(
    connection.query(
      `SELECT a.agency, a.epoch, a.finished, coalesce(l.seq, 0) AS seq, coalesce(l.total, 0) AS total
       FROM agency a LEFT JOIN LATERAL (
         SELECT seq, total FROM chunk c WHERE c.lottery = a.lottery AND c.agency = a.agency
         ORDER BY seq DESC LIMIT 1
       ) l ON true
       WHERE a.lottery = $1 ORDER BY a.agency`,
      [BigInt(lottery)]
    ),
    ({ rows }): ReadonlyMap<number, AgencyRow> =>
      new Map(rows.map((row) => [integer(row, "agency"), {
        epoch: integer(row, "epoch"),
        standing: {
          seq: integer(row, "seq"),
          bets: integer(row, "total"),
          finished: flag(row, "finished")
        }
      }]))
  )

/** The draw as it was stored, if it was held. `rows` are how many winners there are. */
export const readHeldDraw = Effect.fnUntraced(function*(
  connection: PgConnection,
  { heldAt, id }: LotteryRow,
  onDamage: OnDamage
) {
  const lottery = [BigInt(id)]
  const drawn = yield* connection.query(
    "SELECT winning_number, winners, checksum FROM draw WHERE lottery = $1",
    lottery
  )
  const winners = yield* connection.query(
    "SELECT agency, position, document, checksum FROM winner WHERE lottery = $1 ORDER BY agency, position",
    lottery
  )
  const documents = winnersOf(winners.rows, onDamage)
  const [row] = drawn.rows
  if ((row === undefined) !== (heldAt === undefined)) {
    onDamage(`the draw has ${heldAt === undefined ? "no time, but" : "a time, but no"} result`)
  }
  const held = row && heldWinnersOf(row, heldAt ?? "", documents, winners.rows.length, onDamage)
  return { held, rows: winners.rows.length }
})

const heldWinnersOf = (
  row: Row,
  heldAt: string,
  winners: HeldWinners["winners"],
  found: number,
  onDamage: OnDamage
): HeldWinners => {
  const winningNumber = integer(row, "winning_number")
  const count = integer(row, "winners")
  if (integer(row, "checksum") !== rowChecksum(winningNumber, count)) {
    onDamage("the draw is not the one that was held")
  }
  if (found !== count) onDamage(`${count} winners were stored, and ${found} are there`)
  return { draw: { winningNumber, heldAt }, winners }
}

/** In the order of agency and position. */
const winnersOf = (rows: ReadonlyArray<Row>, onDamage: OnDamage): HeldWinners["winners"] => {
  const winners = new Map<number, Array<string>>()
  for (const row of rows) {
    const [agency, position] = [integer(row, "agency"), integer(row, "position")]
    const document = text(row, "document")
    const documents = winners.get(agency) ?? []
    documents.push(document)
    winners.set(agency, documents)
    if (
      position !== documents.length
      || integer(row, "checksum") !== rowChecksum(agency, position, document)
    ) onDamage(`winner ${position} of agency ${agency} is not what was stored`)
  }
  return winners
}

export const readTold = (connection: PgConnection, lottery: number, onDamage: OnDamage) =>
  Effect.map(
    connection.query(
      "SELECT agency, how, told_at, address, port, served, checksum FROM told WHERE lottery = $1 ORDER BY agency",
      [BigInt(lottery)]
    ),
    ({ rows }): ReadonlyMap<number, ToldRecord> =>
      new Map(rows.map((row) => {
        const record = toldOf(row)
        if (integer(row, "checksum") !== toldChecksum(record)) {
          onDamage(
            `whether agency ${record.agency} was told its winners is not what was stored`
          )
        }
        return [record.agency, record]
      }))
  )

const toldOf = (row: Row): ToldRecord => ({
  agency: integer(row, "agency"),
  how: text(row, "how") === "confirmed" ? "confirmed" : "sent",
  at: text(row, "told_at"),
  address: text(row, "address"),
  port: integer(row, "port"),
  served: flag(row, "served")
})

export const toldChecksum = ({ address, agency, at, how, port, served }: ToldRecord): number =>
  rowChecksum(agency, how, at, address, port, served ? 1 : 0)

/** In a snapshot. Of the agencies those that have sent. */
export const readState = Effect.fnUntraced(function*(
  connection: PgConnection,
  lottery: LotteryRow,
  onDamage: OnDamage
): Effect.fn.Return<LedgerState, SqlError> {
  if (!lottery.isIntact) onDamage("the lottery is not the one that began")
  const agencies = yield* readAgencies(connection, lottery.id)
  const { held } = yield* readHeldDraw(connection, lottery, onDamage)
  const told = yield* readTold(connection, lottery.id, onDamage)
  const sent = [...agencies].filter(([, { standing }]) => standing.seq > 0)
  return {
    lottery,
    standings: new Map(sent.map(([agency, { standing }]) => [agency, standing])),
    held,
    told
  }
})
