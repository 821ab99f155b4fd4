/**
 * What operators ask a ledger's file, for reading only and also while a server writes to it. Creates and changes
 * nothing. Every transaction is short, however slowly the answer is taken: an open one would keep the server's
 * write-ahead log from being emptied. An export is still of one moment, because chunks are only ever added.
 */
import { Effect, Option, Stream } from "effect"
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { parseRoster } from "../domain/Agency.ts"
import { csvOfBody } from "../domain/Csv.ts"
import { agenciesCeiling } from "../domain/Limits.ts"
import { LedgerUnavailable, LedgerUnreadable } from "./BetLedger.ts"
import { chunkColumns, damaged, intactChunk } from "./BetLedger/Checksum.ts"
import { integer, openReadOnly, readLottery, text, toFailure } from "./BetLedger/OpenLedger.ts"

/** What the ledger holds of one agency of the roster. */
export interface AgencyResult {
  readonly agency: number
  readonly bets: number
  readonly chunks: number
  readonly finished: boolean
  /** How many of its bets have won; undefined until the draw. */
  readonly winners: number | undefined
}

export interface LedgerResults {
  readonly drawName: string
  /** In the order of the roster. */
  readonly agencies: ReadonlyArray<AgencyResult>
  /** `heldAt` is UTC, ISO 8601. */
  readonly draw: { readonly winningNumber: number; readonly heldAt: string } | undefined
}

/** How long a report waits for a program that holds the whole file. */
const busyTimeoutMs = 5000
/** An export is read, and given out, in pieces of about this. */
const pieceBytes = 256 * 1024

/** The table of the agencies, and the draw if it was held. */
export const results = Effect.fn("LedgerReport.results")(function*(path: string) {
  const db = yield* open(path)
  return yield* attempt("results", path, () => inTransaction(db, () => readResults(db)))
}, Effect.scoped)

/** Every stored bet as CSV: by agency, then in the order stored. Memory doesn't grow with the ledger. */
export const exportCsv = (
  path: string
): Stream.Stream<Uint8Array, LedgerUnreadable | LedgerUnavailable> =>
  Stream.unwrap(Effect.gen(function*() {
    const db = yield* open(path)
    const place = yield* attempt("export", path, () => beginExport(db))
    return Stream.unfold(
      place,
      (at) => attempt("export", path, () => inTransaction(db, () => nextPiece(at)))
    )
  }))

const open = (path: string) =>
  Effect.acquireRelease(
    attempt("open", path, () => openReadOnly(path, busyTimeoutMs)),
    (db) => Effect.sync(() => db.close())
  )

const attempt = <A>(operation: string, path: string, work: () => A) =>
  Effect.suspend((): Effect.Effect<A, LedgerUnreadable | LedgerUnavailable> => {
    try {
      return Effect.succeed(work())
    } catch (error) {
      const failure = toFailure(error)
      return failure.kind === "Unreadable"
        ? Effect.fail(new LedgerUnreadable({ path, problem: failure.problem }))
        : failure.kind === "Unavailable"
        ? Effect.fail(new LedgerUnavailable({ operation, cause: error }))
        : Effect.die(error)
    }
  })

const inTransaction = <A>(db: DatabaseSync, work: () => A): A => {
  db.exec("BEGIN")
  try {
    return work()
  } finally {
    db.exec("COMMIT")
  }
}

const nothing = { bets: 0, chunks: 0, finished: false }

const readResults = (db: DatabaseSync): LedgerResults => {
  const lottery = readLottery(db)
  const roster = Option.getOrElse(
    parseRoster(lottery?.roster ?? "", agenciesCeiling),
    () => []
  )
  const drawRow = db.prepare("SELECT winning_number, held_at FROM draw").get()
  const draw = drawRow && {
    winningNumber: integer(drawRow, "winning_number"),
    heldAt: text(drawRow, "held_at")
  }
  const winners = new Map<number, number>()
  for (
    const row of db.prepare("SELECT agency, count(*) AS bets FROM winner GROUP BY agency").iterate()
  ) {
    winners.set(integer(row, "agency"), integer(row, "bets"))
  }
  const sent = new Map<number, typeof nothing>()
  for (const row of db.prepare("SELECT agency, seq, bets, finished FROM agency").iterate()) {
    sent.set(integer(row, "agency"), {
      bets: integer(row, "bets"),
      chunks: integer(row, "seq"),
      finished: integer(row, "finished") === 1
    })
  }
  const agencies = roster.map((agency): AgencyResult => {
    const { bets, chunks, finished } = sent.get(agency) ?? nothing
    const won = draw === undefined ? undefined : winners.get(agency) ?? 0
    return { agency, bets, chunks, finished, winners: won }
  })
  return { drawName: lottery?.draw ?? "", agencies, draw }
}

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

const nextPiece = (place: ExportPlace): readonly [Uint8Array, ExportPlace] | undefined => {
  const lines: Array<Uint8Array> = []
  let bytes = 0
  let after = place.after
  for (const row of place.order.iterate(after)) {
    const { agency, body } = intactChunk(place.chunk.get(integer(row, "chunk")))
    if (agency !== integer(row, "agency")) {
      throw damaged(`a chunk of agency ${agency} is not in its place`)
    }
    const csv = csvOfBody(agency, body)
    lines.push(csv)
    bytes += csv.length
    after = integer(row, "position")
    if (bytes >= pieceBytes) break
  }
  return lines.length === 0 ? undefined : [Buffer.concat(lines, bytes), { ...place, after }]
}
