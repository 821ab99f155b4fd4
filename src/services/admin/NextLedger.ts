/**
 * Puts a new ledger in the place of one whose draw was held, which is kept under a name of its own, or of one in which
 * nothing is stored, which goes. At every moment there is a whole ledger at the path, the old one or the new one; a crash
 * in between costs nothing but a second try.
 * Plain work on files, under the lock that a server would hold.
 */
import { Option } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { parseRoster } from "../../domain/Agency.ts"
import { agenciesCeiling } from "../../domain/Limits.ts"
import { integer, text } from "../ledger/sqlite/Columns.ts"
import { drawNameOfTime } from "../ledger/sqlite/DrawNames.ts"
import {
  nextOf,
  removeDatabase,
  takePlace,
  unfinishedNextOf
} from "../ledger/sqlite/LedgerPlace.ts"
import { whileOpening } from "../ledger/sqlite/LedgerProblem.ts"
import { readLottery } from "../ledger/sqlite/LotteryTable.ts"
import { openForWriting, openReadOnly } from "../ledger/sqlite/OpenLedger.ts"
import { primaryCode, sqliteCode } from "../ledger/sqlite/SqliteCodes.ts"
import { syncPath } from "../ledger/sqlite/SyncPath.ts"
import { readTold } from "../ledger/sqlite/ToldTable.ts"
import type { WriterConfig } from "../ledger/sqlite/WriterConfig.ts"

export type Outcome =
  /** `archive` is where the old ledger is now, if there was one that held anything. */
  | { readonly _tag: "Begun"; readonly draw: string; readonly archive: string | undefined }
  /** The ledger that is there waits for its draw. */
  | { readonly _tag: "NotDrawn" }
  /** There are agencies of which it isn't sure that they were told what they have to know. */
  | { readonly _tag: "Unsettled"; readonly reasons: ReadonlyArray<string> }
  /** The ledger that is there is of a draw of this name. */
  | { readonly _tag: "SameDraw"; readonly draw: string }
  /** The old ledger's new name is taken. */
  | { readonly _tag: "ArchiveExists"; readonly archive: string }
  /** Another program has the old ledger open. */
  | { readonly _tag: "BeingRead" }

/** `config.path` may or may not exist. `anyway`: also where agencies would lose by it. */
export const beginNext = (config: WriterConfig, anyway = false): Outcome => {
  const { file, lock } = takePlace(config.path)
  try {
    return whileOpening(file, () => begin({ ...config, path: file }, anyway))
  } finally {
    lock.close()
  }
}

const begin = (config: WriterConfig, anyway: boolean): Outcome => {
  const { path: file } = config
  const old = fs.existsSync(file) ? look(file, config.busyTimeoutMs) : undefined
  if (old !== undefined && old.heldAt === undefined && old.bets > 0) return { _tag: "NotDrawn" }
  if (old?.heldAt !== undefined && config.draw === old.draw) {
    return { _tag: "SameDraw", draw: old.draw }
  }
  if (old !== undefined && !anyway && old.unsettled.length > 0) {
    return { _tag: "Unsettled", reasons: old.unsettled }
  }
  const archive = old?.heldAt === undefined ? undefined : archiveName(file, old.heldAt)
  if (old !== undefined && !settle(file, config.busyTimeoutMs)) return { _tag: "BeingRead" }
  const draw = config.draw ?? nextDrawName(old)
  const next = writeNext({ ...config, draw })
  if (archive !== undefined && !linkNew(file, archive)) {
    fs.rmSync(next)
    return { _tag: "ArchiveExists", archive }
  }
  // The old ledger must not lose its only name on disk before it has the other.
  syncPath(path.dirname(file))
  fs.renameSync(next, file)
  syncPath(path.dirname(file))
  return { _tag: "Begun", draw, archive }
}

/** `ledger.sqlite`, held at 2026-12-31T20:15:00Z, becomes `ledger-2026-12-31T20-15-00Z.sqlite`. */
const archiveName = (file: string, heldAt: string): string => {
  const { dir, ext, name } = path.parse(file)
  return path.join(dir, `${name}-${heldAt.replaceAll(":", "-")}${ext}`)
}

/** The ledger that is there. */
interface OldLedger {
  readonly draw: string
  readonly bets: number
  /** When its draw was held, if it was. */
  readonly heldAt: string | undefined
  /** What agencies would lose by it if it were put aside. */
  readonly unsettled: ReadonlyArray<string>
}

/** Undefined when no lottery has begun in the file. */
const look = (file: string, busyTimeoutMs: number): OldLedger | undefined => {
  const db = openReadOnly(file, busyTimeoutMs)
  try {
    const lottery = readLottery(db)
    if (lottery === undefined) return undefined
    const held = db.prepare("SELECT held_at FROM draw").get()
    return {
      draw: lottery.draw,
      bets: integer(db.prepare("SELECT coalesce(sum(bets), 0) AS bets FROM chunk").get(), "bets"),
      heldAt: held && text(held, "held_at"),
      unsettled: held === undefined ? finishedAgencies(db) : untoldAgencies(db, lottery.roster)
    }
  } finally {
    db.close()
  }
}

/** Before the draw: who would wait for it in vain. */
const finishedAgencies = (db: DatabaseSync): ReadonlyArray<string> => {
  const rows = db.prepare("SELECT agency FROM agency WHERE finished = 1 ORDER BY agency").all()
  const agencies = rows.map((row) => integer(row, "agency"))
  return agencies.length === 0
    ? []
    : [`${named(agencies)}: finished without a bet, and would have to finish again`]
}

/** After the draw: who is not known to have been told its winners. */
const untoldAgencies = (db: DatabaseSync, notation: string): ReadonlyArray<string> => {
  const roster = Option.getOrElse(parseRoster(notation, agenciesCeiling), () => [])
  const told = readTold(db)
  const untold = roster.filter((agency) => !told.has(agency))
  const unsure = roster.filter((agency) => told.get(agency)?.how === "sent")
  return [
    ...(untold.length === 0 ? [] : [`${named(untold)}: not told the winners, as far as is known`]),
    ...(unsure.length === 0
      ? []
      : [`${named(unsure)}: sent the winners, but it isn't confirmed that they were taken`])
  ]
}

/** More than this are counted. */
const namedMax = 20

const named = (agencies: ReadonlyArray<number>): string => {
  const [first, ...others] = agencies
  if (others.length === 0) return `agency ${first}`
  const more = agencies.length - namedMax
  return `agencies ${agencies.slice(0, namedMax).join(", ")}${more > 0 ? ` and ${more} more` : ""}`
}

/**
 * For a draw that was given no name. One that is begun anew before anything was stored is the same draw, and keeps its
 * name: agencies may have been told it.
 */
const nextDrawName = (old: OldLedger | undefined): string => {
  if (old !== undefined && old.heldAt === undefined) return old.draw
  const name = drawNameOfTime(new Date())
  return name === old?.draw ? `${name}-2` : name
}

/** Brings everything into the one file, which then needs no log beside it; false when somebody reads it. */
const settle = (file: string, busyTimeoutMs: number): boolean => {
  const db = new DatabaseSync(file, { timeout: busyTimeoutMs })
  try {
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)")
    return text(db.prepare("PRAGMA journal_mode = DELETE").get(), "journal_mode") === "delete"
  } catch (error) {
    if (primaryCode(error) === sqliteCode.busy) return false
    throw error
  } finally {
    db.close()
  }
}

/** The new ledger under a temporary name, which it gets when it is whole and on disk. */
const writeNext = (config: WriterConfig): string => {
  const unfinished = unfinishedNextOf(config.path)
  removeDatabase(unfinished)
  const db = openForWriting({ ...config, path: unfinished })
  try {
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)")
  } finally {
    db.close()
  }
  const next = nextOf(config.path)
  fs.renameSync(unfinished, next)
  syncPath(path.dirname(next))
  return next
}

/** File systems without hard links say one of these. */
const noLinks: ReadonlySet<unknown> = new Set([
  "EPERM",
  "ENOTSUP",
  "EOPNOTSUPP",
  "ENOSYS",
  "EMLINK"
])

/**
 * Gives the file the name as well, where that is free: false when it is taken, and by another file. Without hard links
 * the file is renamed.
 */
export const linkNew = (file: string, name: string): boolean => {
  try {
    fs.linkSync(file, name)
    return true
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined
    if (code === "EEXIST") return fs.statSync(file).ino === fs.statSync(name).ino
    if (!noLinks.has(code)) throw error
    if (fs.existsSync(name)) return false
    fs.renameSync(file, name)
    return true
  }
}
