/**
 * The place of a ledger's file, and the lock on it. A ledger is one file with one name: two centrals find each other's
 * lock only under the same name, and under two names one file would have two write-ahead logs.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { markEnding } from "./AcknowledgedMark.ts"
import { LedgerProblem, unavailable, unreadable, whileOpening } from "./LedgerProblem.ts"
import { primaryCode, sqliteCode } from "./SqliteCodes.ts"
import { syncPath } from "./SyncPath.ts"

/** Linux follows as many. */
const linksMax = 40

/** What the names of the files beside a ledger's file add to its name. */
const beside = {
  log: "-wal",
  logIndex: "-shm",
  journal: "-journal",
  lock: ".lock",
  mark: markEnding,
  next: ".next",
  unfinishedNext: ".next.partial",
  unfinishedCopy: ".copy.partial"
} as const

export const endingsBeside: ReadonlyArray<string> = Object.values(beside)

/** A ledger's file, locked: the holder may write to it until the lock is closed. */
export interface HeldPlace {
  readonly file: string
  readonly lock: DatabaseSync
}

/** Locks the file that a configured path leads to, whether it exists or not. Missing folders are created. */
export const takePlace = (configured: string): HeldPlace => {
  const file = preparePlace(configured)
  const lock = takeLock(file)
  try {
    whileOpening(file, () => {
      mendBegin(file)
      refuseOtherNames(file)
    })
    return { file, lock }
  } catch (error) {
    lock.close()
    throw error
  }
}

/** The file that a configured path leads to. Missing folders are created. */
export const preparePlace = (configured: string): string =>
  whileOpening(configured, () => {
    makeFolder(configured)
    return placeOf(configured)
  })

/**
 * Creates the missing folders of the file, and syncs their names. One by one: Node's recursive `mkdir` never returns
 * where the system says that an existing parent doesn't exist, as /proc does.
 */
const makeFolder = (file: string): void => {
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
const takeLock = (file: string): DatabaseSync =>
  whileOpening(file + beside.lock, () => {
    const lock = new DatabaseSync(file + beside.lock, { timeout: 0 })
    try {
      lock.exec("BEGIN EXCLUSIVE")
      return lock
    } catch (error) {
      lock.close()
      throw primaryCode(error) === sqliteCode.busy ? new LedgerProblem({ kind: "InUse" }) : error
    }
  })

/** The file that the path leads to once all links are followed. It need not exist. */
export const placeOf = (configured: string): string => {
  let at = path.resolve(configured)
  for (let links = 0; links <= linksMax; links++) {
    const folder = fs.realpathSync.native(path.dirname(at))
    const file = path.join(folder, path.basename(at))
    if (fs.lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return file
    const target = fs.readlinkSync(file)
    // Not joined: after a link to a folder, `..` is the parent of that folder.
    at = path.isAbsolute(target) ? target : `${folder}/${target}`
  }
  throw unavailable(
    `${configured} is a symbolic link that leads to itself; make it lead to a file`
  )
}

/** The file's other names in its folder. */
const otherNames = (file: string): ReadonlyArray<string> => {
  const { dev, ino } = fs.statSync(file, { bigint: true })
  const { base, dir } = path.parse(file)
  return fs.readdirSync(dir).filter((name) => name !== base).map((name) => path.join(dir, name))
    .filter((name) => {
      const found = fs.lstatSync(name, { bigint: true, throwIfNoEntry: false })
      return found?.ino === ino && found.dev === dev
    })
}

/** What is wrong with a file that has more than one name. */
export const otherNamesProblem = (file: string, links: number | bigint): string => {
  const [other = "outside of its folder"] = otherNames(file)
  return `${file} has ${links} names (hard links), another one is ${other}; under two names a ledger could be written by `
    + "two centrals that don't notice each other. Remove the other name, or make it a copy"
}

const refuseOtherNames = (file: string): void => {
  const found = fs.statSync(file, { throwIfNoEntry: false })
  if (found === undefined || !found.isFile() || found.nlink <= 1) return
  throw unreadable(otherNamesProblem(file, found.nlink))
}

/** Where `ledger begin` keeps the new ledger, complete and on disk, until it has put the old one aside. */
export const nextOf = (file: string): string => file + beside.next
/** Where `ledger begin` writes the new ledger. */
export const unfinishedNextOf = (file: string): string => file + beside.unfinishedNext

/** Where `ledger copy` writes the ledger until it is complete. */
export const unfinishedCopyOf = (file: string): string => file + beside.unfinishedCopy

export const removeDatabase = (file: string): void => {
  for (const ending of ["", beside.log, beside.logIndex, beside.journal]) {
    fs.rmSync(file + ending, { force: true })
  }
}

/**
 * Cleans up after a `ledger begin` that was killed. It is undone while a ledger is in the place, and completed if there
 * is none any more (without hard links the old one is renamed, not linked).
 */
const mendBegin = (file: string): void => {
  const next = nextOf(file)
  removeDatabase(unfinishedNextOf(file))
  if (!fs.existsSync(next)) return
  if (!fs.existsSync(file)) fs.renameSync(next, file)
  else if (fs.statSync(file).nlink > 1) {
    const { ext, name } = path.parse(file)
    const isArchive = (other: string) => {
      const { base } = path.parse(other)
      return base.startsWith(`${name}-`) && base.endsWith(ext)
    }
    for (const archive of otherNames(file).filter(isArchive)) fs.rmSync(archive)
  }
  removeDatabase(next)
  syncPath(path.dirname(file))
}
