/**
 * Whether a path leads to a ledger or to one of the files beside it, by whatever name or link. Commands that write files
 * ask this first: a server whose ledger was replaced would go on acknowledging bets into a file that has lost its name.
 */
import * as fs from "node:fs"
import { basename, dirname, join, resolve } from "node:path"
import { endingsBeside, placeOf } from "../ledger/sqlite/LedgerPlace.ts"
import { applicationId } from "../ledger/sqlite/Tables.ts"

/**
 * The ledger that the path leads to, or that the file at the path belongs to. The `known` ledgers needn't exist; others
 * are recognized by their content.
 */
export const ledgerOf = (path: string, known: ReadonlyArray<string>): string | undefined => {
  const found = fs.statSync(path, { throwIfNoEntry: false })
  if (found?.isFile() === true && isLedger(path)) return path
  const place = nameOnDisk(path)
  const owner = endingsBeside.filter((ending) => place.endsWith(ending))
    .map((ending) => place.slice(0, -ending.length))
    .find(isLedger)
  if (owner !== undefined) return owner
  const isAt = (name: string): boolean => {
    if (name === place) return true
    const file = fs.statSync(name, { throwIfNoEntry: false })
    return file !== undefined && file.ino === found?.ino && file.dev === found.dev
  }
  return known.find((ledger) =>
    [nameOnDisk(ledger), targetOf(ledger)].some((name) =>
      ["", ...endingsBeside].some((ending) => isAt(name + ending))
    )
  )
}

/** The path with the links of its folder resolved, and the last part as it is. Nothing needs to be there. */
const nameOnDisk = (path: string): string => {
  const absolute = resolve(path)
  try {
    return join(fs.realpathSync(dirname(absolute)), basename(absolute))
  } catch {
    return absolute
  }
}

/** Where the path leads if its last part is a link, even to a file that isn't there yet. */
const targetOf = (path: string): string => {
  try {
    return placeOf(path)
  } catch {
    return nameOnDisk(path)
  }
}

/** An SQLite file's header says at this place which application the file belongs to. */
const applicationIdAt = 68
const headerBytes = 72

const isLedger = (path: string): boolean => {
  let descriptor: number
  try {
    // Opening a pipe that has no writer would block.
    descriptor = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
  } catch {
    return false
  }
  try {
    const header = Buffer.alloc(headerBytes)
    return fs.readSync(descriptor, header, 0, headerBytes, 0) === headerBytes
      && header.toString("latin1", 0, 15) === "SQLite format 3"
      && header.readInt32BE(applicationIdAt) === applicationId
  } catch {
    return false
  } finally {
    fs.closeSync(descriptor)
  }
}
