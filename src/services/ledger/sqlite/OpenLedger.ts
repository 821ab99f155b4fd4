/**
 * Opens ledger files: looks before it touches anything, so that another application's file, or a ledger of a newer
 * version, is left as it is. Also reads what a ledger knows about itself.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync, type SQLOutputValue } from "node:sqlite"
import { pathToFileURL } from "node:url"
import { readMark } from "./AcknowledgedMark.ts"
import { damaged, defineChecksums, rowChecksum } from "./Checksum.ts"
import { drawNameOfFile, drawNameOfTime } from "./DrawNames.ts"
import { syncPath } from "./SyncPath.ts"
import { applicationId, migrations } from "./Tables.ts"
import {
  type DrawRecord,
  type Failure,
  LedgerProblem,
  type WriterConfig
} from "./ThreadMessages.ts"

type Row = Record<string, SQLOutputValue>

/** A column that holds an integer. */
export const integer = (row: Row | undefined, column: string): number => {
  const value = row?.[column]
  if (typeof value !== "number") throw damaged(`column ${column} holds no integer`)
  return value
}

export const text = (row: Row | undefined, column: string): string => {
  const value = row?.[column]
  if (typeof value !== "string") throw damaged(`column ${column} holds no text`)
  return value
}

export const blob = (row: Row | undefined, column: string): Uint8Array<ArrayBuffer> => {
  const value = row?.[column]
  if (!(value instanceof Uint8Array)) throw damaged(`column ${column} holds no bytes`)
  return value
}

const unreadable = (problem: string): LedgerProblem =>
  new LedgerProblem({ kind: "Unreadable", problem })

/** SQLite's result codes that waiting, room on the disk or a mended file system can cure. */
const curable: ReadonlySet<number> = new Set([
  5, /* BUSY */
  6, /* LOCKED */
  7, /* NOMEM */
  8, /* READONLY */
  10, /* IOERR */
  13, /* FULL */
  14, /* CANTOPEN */
  15 /* PROTOCOL */
])

/** SQLite's extended result code, if SQLite reported the error. */
export const resultCode = (error: unknown): number | undefined =>
  error instanceof Error && "errcode" in error && typeof error.errcode === "number"
    ? error.errcode
    : undefined

/** The primary result code: the low byte of the extended one. */
export const primaryCode = (error: unknown): number | undefined => {
  const code = resultCode(error)
  return code === undefined ? undefined : code & 0xff
}

/** What SQLite itself takes for damage. */
const damage: ReadonlySet<number> = new Set([11, /* CORRUPT */ 26 /* NOTADB */])

export const toFailure = (error: unknown): Failure => {
  if (error instanceof LedgerProblem) return error.failure
  const message = error instanceof Error ? error.message : String(error)
  const primary = primaryCode(error)
  if (primary !== undefined && damage.has(primary)) return damaged(message).failure
  if (primary !== undefined && curable.has(primary)) {
    return { kind: "Unavailable", message, code: resultCode(error) }
  }
  return { kind: "Defect", message: error instanceof Error ? (error.stack ?? message) : message }
}

/** What failed while opening is about the file: names it, and what to do. */
const toOpenProblem = (error: unknown, file: string): unknown => {
  if (error instanceof LedgerProblem) return error
  const primary = primaryCode(error)
  const message = error instanceof Error ? error.message : String(error)
  if (primary === 26) return unreadable("the file is not a ledger (not an SQLite database)")
  const mendable = primary !== undefined && curable.has(primary)
  // A file that has just been found to be a ledger, and isn't one to SQLite, is not what was written.
  if (primary !== undefined && !mendable) return damaged(message)
  const systemCode = error instanceof Error && "code" in error && "syscall" in error
  if (mendable || systemCode) {
    return new LedgerProblem({
      kind: "Unavailable",
      message:
        `${file} can't be opened: ${message}. Check that the folder exists, that the server's user may write `
        + "to it and to the file, and that the disk has room.",
      code: resultCode(error)
    })
  }
  return error
}

export const whileOpening = <A>(file: string, work: () => A): A => {
  try {
    return work()
  } catch (error) {
    throw toOpenProblem(error, file)
  }
}

/** Whether the file is a ledger that this program can read; an empty database is none yet. Reads only. */
const inspect = (db: DatabaseSync): "empty" | "ledger" => {
  const found = integer(db.prepare("PRAGMA application_id").get(), "application_id")
  const version = integer(db.prepare("PRAGMA user_version").get(), "user_version")
  const objects = integer(
    db.prepare("SELECT count(*) AS objects FROM sqlite_schema").get(),
    "objects"
  )
  if (found === 0 && version === 0 && objects === 0) return "empty"
  if (found !== applicationId) {
    throw unreadable("the file is another application's SQLite database, not a ledger")
  }
  if (version > migrations.length) {
    throw unreadable(
      `the ledger is of version ${version} and this program knows versions up to ${migrations.length}; `
        + "use the newer program"
    )
  }
  return "ledger"
}

/** What a reader finds, and the server doesn't mind. */
export const nothingBegun = "the file is empty: no ledger has begun in it"
export const olderVersion =
  "the ledger is of an older version; start the server on it once to bring it up to date"

/** Opens a ledger for reading only. The file must exist and is not changed. */
export const openReadOnly = (file: string, busyTimeoutMs: number): DatabaseSync =>
  whileOpening(file, () => {
    if (!fs.existsSync(file)) throw unreadable("there is no such file")
    const mark = readMark(fs.realpathSync(file))
    try {
      return openToRead(file, busyTimeoutMs, mark)
    } catch (error) {
      // Reading beside a writer needs two more files, which can't be made in a folder that one may only read. A
      // ledger at rest (there is no log) can be read without them.
      const primary = primaryCode(error)
      const atRest = !fs.existsSync(`${file}-wal`)
      if (!atRest || (primary !== 8 && primary !== 14)) throw error
      const url = pathToFileURL(file)
      url.searchParams.set("immutable", "1")
      return openToRead(url, busyTimeoutMs, mark)
    }
  })

const openToRead = (
  file: string | URL,
  busyTimeoutMs: number,
  mark: ReturnType<typeof readMark>
): DatabaseSync => {
  const db = new DatabaseSync(file, { readOnly: true, timeout: busyTimeoutMs })
  try {
    if (inspect(db) === "empty") throw unreadable(nothingBegun)
    if (integer(db.prepare("PRAGMA user_version").get(), "user_version") < migrations.length) {
      throw unreadable(olderVersion)
    }
    const began = db.prepare("SELECT began_at FROM lottery").get()
    const last = db.prepare("SELECT coalesce(max(id), 0) AS id FROM chunk").get()
    mark.compare(began && text(began, "began_at"), integer(last, "id"))
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/**
 * Creates the missing folders of the file, and puts their names on disk. One by one: Node's recursive way never ends
 * where the system answers that the parent isn't there although it is, as /proc does.
 */
export const makeFolder = (file: string): void => {
  const missing: Array<string> = []
  for (let at = path.dirname(path.resolve(file)); !fs.existsSync(at); at = path.dirname(at)) {
    missing.unshift(at)
  }
  for (const folder of missing) {
    fs.mkdirSync(folder)
    syncPath(path.dirname(folder))
  }
}

/**
 * Takes the ledger for this process: an exclusive lock on a file beside it, which the kernel releases however the
 * process ends. A lock on the ledger itself would keep operators from reading it. The file is left in place:
 * removing it could take it from under another process.
 */
export const takeLock = (file: string): DatabaseSync =>
  whileOpening(`${file}.lock`, () => {
    const lock = new DatabaseSync(`${file}.lock`, { timeout: 0 })
    try {
      lock.exec("BEGIN EXCLUSIVE")
      return lock
    } catch (error) {
      lock.close()
      throw primaryCode(error) === 5 ? new LedgerProblem({ kind: "InUse" }) : error
    }
  })

/**
 * Opens the ledger for writing; begins or upgrades it where needed, and says so when it begins it. The lock must be
 * held.
 */
export const openForWriting = (config: WriterConfig, onBegun?: () => void): DatabaseSync =>
  whileOpening(config.path, () => {
    const db = new DatabaseSync(config.path, { timeout: config.busyTimeoutMs })
    try {
      const state = inspect(db)
      if (state === "empty") db.exec(`PRAGMA page_size = ${config.pageBytes}`)
      // A commit returns when the log is synced; a checkpoint syncs the log before and the file after it copies.
      const mode = text(db.prepare("PRAGMA journal_mode = WAL").get(), "journal_mode")
      if (mode !== "wal") throw noLog(config.path, mode)
      db.exec(`
        PRAGMA synchronous = FULL;
        PRAGMA wal_autocheckpoint = ${config.walPagesMax};
        PRAGMA journal_size_limit = ${config.walBytesKept};
        PRAGMA cache_size = -8000;
      `)
      migrate(db, config.path)
      if (begin(db, config)) onBegun?.()
      return db
    } catch (error) {
      db.close()
      throw error
    }
  })

/** Where SQLite can't share memory between processes (some network file systems), it keeps another kind of journal. */
const noLog = (file: string, mode: string): LedgerProblem =>
  new LedgerProblem({
    kind: "Unavailable",
    message:
      `${file} can't have a write-ahead log: its journal mode stays "${mode}". Put the ledger on a disk of this `
      + "machine; network file systems don't do.",
    code: undefined
  })

const migrate = (db: DatabaseSync, file: string): void => {
  const version = integer(db.prepare("PRAGMA user_version").get(), "user_version")
  if (version === migrations.length) return
  defineChecksums(db)
  db.function("draw_name_of_file", { directOnly: true }, () => drawNameOfFile(file))
  db.exec("BEGIN IMMEDIATE")
  try {
    for (const migration of migrations.slice(version)) db.exec(migration)
    db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${migrations.length}`)
    db.exec("COMMIT")
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK")
    throw error
  }
}

/** Begins the lottery (true), or makes sure that it is the one that the ledger began with. */
const begin = (db: DatabaseSync, config: WriterConfig): boolean => {
  const lottery = readLottery(db)
  if (lottery === undefined) {
    readMark(config.path).compare(undefined, 0)
    const { draw = drawNameOfTime(new Date()), roster, winningNumber } = config
    db.prepare(
      "INSERT INTO lottery (id, roster, winning_number, draw, checksum) VALUES (1, ?, ?, ?, ?)"
    ).run(roster, winningNumber, draw, rowChecksum(roster, winningNumber, draw))
    return true
  }
  if (lottery.roster !== config.roster) {
    throw new LedgerProblem({
      kind: "Mismatch",
      what: "agencies",
      ledger: lottery.roster,
      configured: config.roster
    })
  }
  if (lottery.winningNumber !== config.winningNumber) {
    throw new LedgerProblem({
      kind: "Mismatch",
      what: "winning number",
      ledger: String(lottery.winningNumber),
      configured: String(config.winningNumber)
    })
  }
  if (config.draw !== undefined && lottery.draw !== config.draw) {
    throw new LedgerProblem({
      kind: "Mismatch",
      what: "draw",
      ledger: lottery.draw,
      configured: config.draw
    })
  }
  return false
}

export interface LotteryRecord {
  readonly roster: string
  readonly winningNumber: number
  /** The draw's name. */
  readonly draw: string
}

const refuse = (problem: string): never => {
  throw damaged(problem)
}

/**
 * What the ledger began with; undefined when the process died between its first two transactions. `onDamage` is told
 * where it isn't what was stored.
 */
export const readLottery = (
  db: DatabaseSync,
  onDamage: (problem: string) => void = refuse
): LotteryRecord | undefined => {
  const row = db.prepare("SELECT roster, winning_number, draw, checksum FROM lottery").get()
  if (row === undefined) return undefined
  const [roster, winningNumber] = [text(row, "roster"), integer(row, "winning_number")]
  const draw = text(row, "draw")
  if (row["checksum"] !== rowChecksum(roster, winningNumber, draw)) {
    onDamage("the lottery is not the one that the ledger began with")
  }
  return { roster, winningNumber, draw }
}

/** The draw, if it was held; `onDamage` is told where it isn't what was stored. */
export const readDraw = (
  db: DatabaseSync,
  onDamage: (problem: string) => void = refuse
): DrawRecord | undefined => {
  const row = db.prepare("SELECT winning_number, winners, checksum FROM draw").get()
  if (row === undefined) return undefined
  const winningNumber = integer(row, "winning_number")
  const count = integer(row, "winners")
  if (row["checksum"] !== rowChecksum(winningNumber, count)) {
    onDamage("the draw is not the one that was held")
  }
  const winners = new Map<number, Array<string>>()
  let found = 0
  const rows = db.prepare(
    "SELECT agency, position, document, checksum FROM winner ORDER BY agency, position"
  )
  for (const winner of rows.iterate()) {
    const agency = integer(winner, "agency")
    const position = integer(winner, "position")
    const document = text(winner, "document")
    const documents = winners.get(agency) ?? []
    documents.push(document)
    winners.set(agency, documents)
    found++
    if (
      position !== documents.length ||
      winner["checksum"] !== rowChecksum(agency, position, document)
    ) onDamage(`winner ${position} of agency ${agency} is not what was stored`)
  }
  if (found !== count) onDamage(`${count} winners were stored, and ${found} are there`)
  return { winningNumber, winners }
}
