/** The draw as it is stored, in the tables `draw` and `winner`. */
import { Effect, Option } from "effect"
import type { AgencyId } from "../../../domain/Agency.ts"
import { type Draw, WinningNumber } from "../../../domain/Draw.ts"
import { rowChecksum } from "../RowChecksum.ts"
import { integer, type Row, text } from "./Columns.ts"
import type { LinkPool } from "./Links.ts"
import { damaged } from "./SqlFailures.ts"

/** For statements that read or write all winners: there may be millions. */
export const winnersMs = 120_000

/**
 * A primary that restarts shows commits that its synchronous standby never got, and that are gone if the standby takes
 * over. This write is answered when all commits before it have got there.
 */
const confirm =
  "UPDATE lottery SET confirmed_at = now() WHERE id = $1::bigint AND held_at IS NOT NULL"

const readDraw = "SELECT winning_number, winners, checksum FROM draw WHERE lottery = $1::bigint"
const readWinners = `SELECT agency, position, document, checksum FROM winner
  WHERE lottery = $1::bigint ORDER BY agency, position`

const drawChecksum = (winningNumber: number, winners: number): number =>
  rowChecksum(winningNumber, winners)
const winnerChecksum = (agency: number, position: number, document: string): number =>
  rowChecksum(agency, position, document)

export class DrawRows {
  readonly #links: LinkPool
  readonly #lottery: number
  readonly #roster: ReadonlyMap<number, AgencyId>
  /** A draw that was held stays as it is. */
  #known: Option.Option<Draw> = Option.none()

  constructor(links: LinkPool, lottery: number, roster: ReadonlyMap<number, AgencyId>) {
    this.#links = links
    this.#lottery = lottery
    this.#roster = roster
  }

  /** The draw, if it was held, and is certain to stay. */
  get confirmed() {
    return Effect.suspend(() =>
      Option.isSome(this.#known) ? Effect.succeed(this.#known) : this.#read
    )
  }

  readonly #read = Effect.gen({ self: this }, function*() {
    const parameters = [BigInt(this.#lottery)]
    yield* this.#links.use("draw", (connection) => connection.query(confirm, parameters))
    const [draws, winners] = yield* this.#links.use("draw", (connection) =>
      Effect.all([
        connection.query(readDraw, parameters),
        connection.query(readWinners, parameters)
      ]), winnersMs)
    const [draw] = draws.rows
    if (draw === undefined) return Option.none<Draw>()
    const [winningNumber, count] = [integer(draw, "winning_number"), integer(draw, "winners")]
    if (integer(draw, "checksum") !== drawChecksum(winningNumber, count)) {
      return yield* damaged("draw", "the draw is not the one that was held")
    }
    if (winners.rows.length !== count) {
      const there = `${count} winners were stored, and ${winners.rows.length} are there`
      return yield* damaged("draw", there)
    }
    return this.keep({
      winningNumber: WinningNumber.make(winningNumber),
      winners: yield* this.#winnersIn(winners.rows)
    })
  })

  #winnersIn(rows: ReadonlyArray<Row>) {
    const winners = new Map<AgencyId, Array<string>>()
    for (const row of rows) {
      const [agency, position] = [integer(row, "agency"), integer(row, "position")]
      const document = text(row, "document")
      const id = this.#roster.get(agency)
      const documents = (id && winners.get(id)) ?? []
      documents.push(document)
      const isIntact = position === documents.length
        && integer(row, "checksum") === winnerChecksum(agency, position, document)
      if (id === undefined || !isIntact) {
        return damaged("draw", `winner ${position} of agency ${agency} is not what was stored`)
      }
      winners.set(id, documents)
    }
    return Effect.succeed(winners)
  }

  keep(draw: Draw): Option.Option<Draw> {
    this.#known = Option.some(draw)
    return this.#known
  }
}

/** The columns of the rows to store, as parameters: those of `draw` after the number, then those of `winner`. */
export const columnsOf = ({ winners, winningNumber }: Draw) => {
  const rows = [...winners].flatMap(([agency, documents]) =>
    documents.map((document, index) => ({ agency, position: index + 1, document }))
  )
  return {
    count: BigInt(rows.length),
    checksum: BigInt(drawChecksum(winningNumber, rows.length)),
    agencies: rows.map(({ agency }) => BigInt(agency)),
    positions: rows.map(({ position }) => BigInt(position)),
    documents: rows.map(({ document }) => document),
    checksums: rows.map((row) => BigInt(winnerChecksum(row.agency, row.position, row.document)))
  }
}
