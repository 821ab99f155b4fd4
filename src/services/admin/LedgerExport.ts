/**
 * The bets of a ledger's file by agency, then in the order stored: all of them as the trade's CSV, or those that have
 * won. As LedgerReport: for reading only, in short transactions, and still of one moment, because chunks are only ever
 * added.
 */
import { Effect, Stream } from "effect"
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { lineFeed } from "../../domain/Ascii.ts"
import { fieldsOfRecord } from "../../domain/BetRecord.ts"
import { csvOfBody } from "../../domain/Csv.ts"
import type { LedgerUnavailable, LedgerUnreadable } from "../ledger/BetLedger.ts"
import { chunkColumns, type ChunkRow, intactChunk } from "../ledger/sqlite/ChunkTable.ts"
import { integer, text } from "../ledger/sqlite/Columns.ts"
import { readDraw } from "../ledger/sqlite/DrawTable.ts"
import { damaged } from "../ledger/sqlite/LedgerProblem.ts"
import { readLottery } from "../ledger/sqlite/LotteryTable.ts"
import { attempt, inTransaction, open } from "./ReadLedger.ts"

export interface ExportedChunk {
  readonly agency: number
  readonly bets: number
  readonly csv: Uint8Array
}

export interface WinningBet {
  readonly agency: number
  /** Among the agency's bets, from 1, in the order stored: its line in what `export` writes of the agency. */
  readonly position: number
  readonly document: string
  readonly firstName: string
  readonly lastName: string
}

export interface WinningBets {
  readonly drawName: string
  /** `heldAt` is UTC, ISO 8601. */
  readonly draw: { readonly winningNumber: number; readonly heldAt: string } | undefined
  /** Empty until the draw. */
  readonly winners: ReadonlyArray<WinningBet>
}

/** An export is read, and given out, in pieces of about this. */
const pieceBytes = 256 * 1024

/** Every stored bet as CSV, in pieces of a bounded size. Memory doesn't grow with the ledger. */
export const exportChunks = (
  path: string
): Stream.Stream<ReadonlyArray<ExportedChunk>, LedgerUnreadable | LedgerUnavailable> =>
  Stream.map(
    chunksOf("export", path),
    (chunks) =>
      chunks.map(({ agency, bets, body }) => ({ agency, bets, csv: csvOfBody(agency, body) }))
  )

/** The same, as the bytes alone. */
export const exportCsv = (
  path: string
): Stream.Stream<Uint8Array, LedgerUnreadable | LedgerUnavailable> =>
  Stream.map(exportChunks(path), (chunks) => Buffer.concat(chunks.map(({ csv }) => csv)))

/** The bets that have won, compared with the winners that the draw has stored. */
export const winningBets = Effect.fn("LedgerExport.winningBets")(function*(
  path: string
): Effect.fn.Return<WinningBets, LedgerUnreadable | LedgerUnavailable> {
  const held = yield* Effect.scoped(
    Effect.flatMap(
      open(path),
      (db) => attempt("winners", path, () => inTransaction(db, () => readHeld(db)))
    )
  )
  const { draw, drawName, stored } = held
  if (draw === undefined) return { drawName, draw, winners: [] }
  const search = new WinnerSearch(draw.winningNumber)
  yield* Stream.runForEach(chunksOf("winners", path), (chunks) =>
    Effect.sync(() => {
      for (const chunk of chunks) search.look(chunk)
    }))
  yield* attempt("winners", path, () => search.compare(stored))
  return { drawName, draw, winners: search.winners }
})

const readHeld = (db: DatabaseSync) => {
  const row = db.prepare("SELECT winning_number, held_at FROM draw").get()
  return {
    drawName: readLottery(db)?.draw ?? "",
    draw: row && { winningNumber: integer(row, "winning_number"), heldAt: text(row, "held_at") },
    stored: readDraw(db)?.winners ?? new Map<number, ReadonlyArray<string>>()
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

class WinnerSearch {
  readonly winners: Array<WinningBet> = []
  readonly #high: number
  readonly #low: number
  /** How many bets of the agency in hand were looked at. */
  #agency = 0
  #bets = 0

  constructor(winningNumber: number) {
    this.#high = winningNumber >> 8
    this.#low = winningNumber & 0xff
  }

  look({ agency, bets, body, numbers }: ChunkRow): void {
    if (agency !== this.#agency) {
      this.#agency = agency
      this.#bets = 0
    }
    let line = 0
    let start = 0
    for (let index = 0; 2 * index < numbers.length; index++) {
      if (numbers[2 * index] !== this.#high || numbers[2 * index + 1] !== this.#low) continue
      for (; line < index; line++) start = body.indexOf(lineFeed, start) + 1
      const record = utf8.decode(body.subarray(start, body.indexOf(lineFeed, start)))
      const [firstName = "", lastName = "", document = ""] = fieldsOfRecord(record)
      const position = this.#bets + index + 1
      this.winners.push({ agency, position, document, firstName, lastName })
    }
    this.#bets += bets
  }

  /** What the agencies were told must be what is found. */
  compare(stored: ReadonlyMap<number, ReadonlyArray<string>>): void {
    const count = [...stored.values()].reduce((sum, documents) => sum + documents.length, 0)
    const told = new Map<number, number>()
    const alike = this.winners.every(({ agency, document }) => {
      const index = told.get(agency) ?? 0
      told.set(agency, index + 1)
      return stored.get(agency)?.[index] === document
    })
    if (!alike || count !== this.winners.length) {
      throw damaged("the winners that were stored are not those of the bets")
    }
  }
}

const chunksOf = (
  operation: string,
  path: string
): Stream.Stream<ReadonlyArray<ChunkRow>, LedgerUnreadable | LedgerUnavailable> =>
  Stream.unwrap(Effect.gen(function*() {
    const db = yield* open(path)
    const place = yield* attempt(operation, path, () => beginExport(db))
    return Stream.unfold(
      place,
      (at) => attempt(operation, path, () => inTransaction(db, () => nextPiece(at)))
    )
  }))

/** How far an export is; `after` is the last row of the order that was given out. */
interface ExportPlace {
  readonly order: StatementSync
  readonly chunk: StatementSync
  readonly after: number
}

/** Puts down, in a temporary table that SQLite keeps on disk when it is large, which chunks in which order. */
const beginExport = (db: DatabaseSync): ExportPlace => {
  db.exec(`
    CREATE TEMP TABLE export_order (position INTEGER PRIMARY KEY, agency INTEGER, chunk INTEGER);
    INSERT INTO temp.export_order (agency, chunk) SELECT agency, id FROM chunk WHERE bets > 0 ORDER BY agency, id;
  `)
  return {
    order: db.prepare(
      "SELECT position, agency, chunk FROM temp.export_order WHERE position > ? ORDER BY position"
    ),
    chunk: db.prepare(`SELECT ${chunkColumns} FROM chunk WHERE id = ?`),
    after: 0
  }
}

const nextPiece = (
  place: ExportPlace
): readonly [ReadonlyArray<ChunkRow>, ExportPlace] | undefined => {
  const chunks: Array<ChunkRow> = []
  let bytes = 0
  let after = place.after
  for (const row of place.order.iterate(after)) {
    const chunk = intactChunk(place.chunk.get(integer(row, "chunk")))
    if (chunk.agency !== integer(row, "agency")) {
      throw damaged(`a chunk of agency ${chunk.agency} is not in its place`)
    }
    chunks.push(chunk)
    bytes += chunk.body.length
    after = integer(row, "position")
    if (bytes >= pieceBytes) break
  }
  return chunks.length === 0 ? undefined : [chunks, { ...place, after }]
}
