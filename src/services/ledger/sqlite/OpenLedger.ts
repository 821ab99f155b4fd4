/**
 * Opens ledger files. It looks before it changes anything, so that another application's file, or a ledger of a newer
 * version, is left as it is.
 */
import * as fs from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { pathToFileURL } from "node:url"
import { readMark } from "./AcknowledgedMark.ts"
import { defineChecksums } from "./Checksum.ts"
import { readLastChunk } from "./ChunkTable.ts"
import { integer, text } from "./Columns.ts"
import { drawNameOfFile } from "./DrawNames.ts"
import { type LedgerProblem, unavailable, unreadable, whileOpening } from "./LedgerProblem.ts"
import { beginLottery, readBeganAt } from "./LotteryTable.ts"
import { primaryCode, sqliteCode } from "./SqliteCodes.ts"
import { applicationId, migrations } from "./Tables.ts"
import type { WriterConfig } from "./WriterConfig.ts"

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
      `the ledger has version ${version}, and this program knows only versions up to ${migrations.length}; `
        + "use the newer program"
    )
  }
  return "ledger"
}

/** Why a reader refuses a file that the server would begin or upgrade. */
export const nothingBegun = "the file is empty: no ledger has begun in it"
export const olderVersion =
  "the ledger has an older version; start the server on it once to bring it up to date"

/** Opens a ledger for reading only. The file must exist and is not changed. */
export const openReadOnly = (file: string, busyTimeoutMs: number): DatabaseSync =>
  whileOpening(file, () => {
    if (!fs.existsSync(file)) throw unreadable("there is no such file")
    const mark = readMark(fs.realpathSync(file))
    try {
      return openToRead(file, busyTimeoutMs, mark)
    } catch (error) {
      // Reading beside a writer needs two more files, which can't be created in a read-only folder. A ledger at rest
      // (it has no log) can be read without them.
      const primary = primaryCode(error)
      const atRest = !fs.existsSync(`${file}-wal`)
      const isForbidden = primary === sqliteCode.readOnly || primary === sqliteCode.cantOpen
      if (!atRest || !isForbidden) throw error
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
    mark.compare(readBeganAt(db), readLastChunk(db))
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** Opens the ledger for writing, and begins or upgrades it where needed. The lock must be held. */
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
      if (beginLottery(db, config)) onBegun?.()
      return db
    } catch (error) {
      db.close()
      throw error
    }
  })

/** Where processes can't share memory (some network file systems), SQLite keeps another kind of journal. */
const noLog = (file: string, mode: string): LedgerProblem =>
  unavailable(
    `${file} can't have a write-ahead log: its journal mode stays "${mode}". Put the ledger on a disk of this `
      + "machine; network file systems are not supported."
  )

const migrate = (db: DatabaseSync, file: string): void => {
  const version = integer(db.prepare("PRAGMA user_version").get(), "user_version")
  if (version === migrations.length) return
  defineChecksums(db)
  db.function("draw_name_of_file", { directOnly: true }, () => drawNameOfFile(file))
  db.exec("BEGIN IMMEDIATE")
  try {
    for (const migration of migrations.slice(version)) migration(db)
    db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${migrations.length}`)
    db.exec("COMMIT")
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK")
    throw error
  }
}
