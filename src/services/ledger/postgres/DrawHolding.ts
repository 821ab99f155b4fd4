/**
 * Holds the draw. Any server may, and several at once: one of them stores it, and the others give what that one stored.
 *
 * Every chunk is read whole and compared with its checksum before, outside of any transaction. Nothing can come between:
 * all agencies had finished, and no chunk is stored for an agency that has. Then one statement stores the draw with its
 * winners, if nobody else has.
 */
import { Effect, Option } from "effect"
import type { AgencyId, Roster } from "../../../domain/Agency.ts"
import { type Draw, WinningNumber } from "../../../domain/Draw.ts"
import { winningDocuments } from "../../../domain/WinningDocuments.ts"
import { type ChunkRow, ChunkRows } from "./ChunkRows.ts"
import { flag, integer } from "./Columns.ts"
import { columnsOf, type DrawRows, winnersMs } from "./DrawRows.ts"
import type { LinkPool } from "./Links.ts"
import { replacedProblem } from "./OpenLottery.ts"
import { damaged, unavailable } from "./SqlFailures.ts"

const isDue = `SELECT held_at IS NOT NULL AS held, winning_number,
    EXISTS (SELECT FROM agency WHERE lottery = $1::bigint AND NOT finished) AS unfinished
  FROM lottery WHERE id = $1::bigint AND checksum = $2::bigint`

const store = `WITH held AS (
    UPDATE lottery SET held_at = now(), held_by = $2, confirmed_at = now()
    WHERE id = $1::bigint AND checksum = $11::bigint AND held_at IS NULL
      AND NOT EXISTS (SELECT FROM agency WHERE lottery = $1::bigint AND NOT finished)
    RETURNING id
  ), drawn AS (
    INSERT INTO draw (lottery, winning_number, winners, checksum)
    SELECT id, $3::integer, $4::bigint, $5::bigint FROM held RETURNING lottery
  ), won AS (
    INSERT INTO winner (lottery, agency, position, document, checksum)
    SELECT drawn.lottery, w.agency, w.position, w.document, w.checksum
    FROM drawn, unnest($6::bigint[], $7::bigint[], $8::text[], $9::bigint[])
      w (agency, position, document, checksum)
  )
  SELECT pg_notify($10, 'drawn')::text FROM held`

/** At once in memory, of each part. */
const sliceBytes = 4 * 1024 * 1024
/** One connection is left for others. */
const partsMax = 3

export interface DrawHoldingOptions {
  readonly links: LinkPool
  readonly lottery: number
  /** Of its values. */
  readonly checksum: number
  readonly server: string
  readonly channel: string
  readonly roster: Roster
  readonly draws: DrawRows
}

export const holdDrawOf = (options: DrawHoldingOptions) => {
  const { channel, draws, links, lottery, roster, server } = options
  const chunks = new ChunkRows(links, lottery)
  const id = BigInt(lottery)

  const storeDraw = (draw: Draw) => {
    const { agencies, checksum, checksums, count, documents, positions } = columnsOf(draw)
    return links.use("holdDraw", (connection) =>
      Effect.map(
        connection.query(store, [
          id,
          server,
          draw.winningNumber,
          count,
          checksum,
          agencies,
          positions,
          documents,
          checksums,
          channel,
          BigInt(options.checksum)
        ]),
        ({ rows }) => rows.length > 0
      ), winnersMs)
  }

  return Effect.gen(function*() {
    const { rows: [row] } = yield* links.use(
      "holdDraw",
      (connection) => connection.query(isDue, [id, BigInt(options.checksum)])
    )
    if (row === undefined) return yield* unavailable("holdDraw", replacedProblem)
    if (flag(row, "held")) return yield* draws.confirmed
    if (flag(row, "unfinished")) return Option.none<Draw>()
    const winningNumber = WinningNumber.make(integer(row, "winning_number"))
    const draw = { winningNumber, winners: yield* findWinners(chunks, roster, winningNumber) }
    return (yield* storeDraw(draw)) ? draws.keep(draw) : yield* draws.confirmed
  })
}

/** Reads all chunks: of so many parts of the roster at once. None may be missing or damaged. */
const findWinners = (rows: ChunkRows, roster: Roster, winningNumber: number) => {
  const size = Math.ceil(roster.length / partsMax)
  const parts = Array.from(
    { length: Math.ceil(roster.length / size) },
    (_, index) => roster.slice(index * size, (index + 1) * size)
  )
  return Effect.map(
    Effect.forEach(parts, (part) => winnersOf(rows, part, winningNumber), {
      concurrency: partsMax
    }),
    (winners): ReadonlyMap<AgencyId, ReadonlyArray<string>> => new Map(winners.flat())
  )
}

/** What was read of an agency's chunks. */
interface Read {
  seq: number
  bets: number
  finished: boolean
  readonly documents: Array<string>
}

/** Of agencies that follow each other in the roster. */
const winnersOf = Effect.fnUntraced(function*(
  rows: ChunkRows,
  agencies: Roster,
  winningNumber: number
) {
  const all = new Map<number, Read>(
    agencies.map((agency) => [agency, { seq: 0, bets: 0, finished: false, documents: [] }])
  )
  const [first = 0, last = 0] = [agencies[0], agencies.at(-1)]
  let next = { agency: Number(first), seq: 1 }
  for (;;) {
    const slice = yield* rows.ofAgencies("holdDraw", next, last, sliceBytes)
    for (const chunk of slice) {
      const read = all.get(chunk.agency)
      if (read === undefined || !follows(read, chunk)) {
        const place = `chunk ${chunk.seq} of agency ${chunk.agency}`
        return yield* damaged("holdDraw", `${place} doesn't follow the one before`)
      }
      read.seq = chunk.seq
      read.bets = chunk.total
      read.finished = chunk.last
      for (const one of winningDocuments(chunk, winningNumber)) read.documents.push(one)
      next = { agency: chunk.agency, seq: chunk.seq + 1 }
    }
    if (slice.length === 0) break
  }
  const winners: Array<readonly [AgencyId, ReadonlyArray<string>]> = []
  for (const agency of agencies) {
    const read = all.get(agency)
    if (read?.finished !== true) {
      return yield* damaged("holdDraw", `the last chunk of agency ${agency} is missing`)
    }
    if (read.documents.length > 0) winners.push([agency, read.documents])
  }
  return winners
})

const follows = (read: Read, { bets, seq, total }: ChunkRow): boolean =>
  !read.finished && seq === read.seq + 1 && total === read.bets + bets
