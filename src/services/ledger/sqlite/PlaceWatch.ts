/**
 * Detects that a ledger's path no longer leads to the file that is written: the file was removed, another was put in
 * its place (a restore without a stop), or it got a second name. Commits would still succeed, into a file that is lost
 * when the process ends. So the writer looks after every commit and before its answer, which costs a few microseconds,
 * and every second besides, then also into the file.
 */
import * as fs from "node:fs"
import { otherNamesProblem } from "./LedgerPlace.ts"

/** Bytes in the file that change only when it is opened to be written: the end of the page that holds the token. */
export interface Stamp {
  readonly descriptor: number
  readonly offset: number
}

export const stampBytes = 32

const readStamp = ({ descriptor, offset }: Stamp): Buffer => {
  const bytes = Buffer.alloc(stampBytes)
  fs.readSync(descriptor, bytes, 0, stampBytes, offset)
  return bytes
}

interface Watched {
  readonly path: string
  readonly dev: bigint
  readonly ino: bigint
}

/** What the operator can do. */
const whatToDo =
  "Nothing is acknowledged meanwhile. What was acknowledged is in the file that this process still writes: put that back "
  + "under its name and the central continues by itself, or stop the central and restore the ledger"

const watched = (path: string): Watched => {
  const { dev, ino } = fs.statSync(path, { bigint: true })
  return { path, dev, ino }
}

export class PlaceWatch {
  readonly #file: Watched
  readonly #log: Watched
  readonly #stamp: Stamp | undefined
  readonly #stamped: Buffer | undefined
  /** The result of the last look. */
  #problem: string | undefined
  #overwritten = false

  /** For a ledger that was just opened. `configured` is its path as configured, `file` the file that it leads to. */
  constructor(configured: string, file: string, stamp: Stamp | undefined) {
    this.#file = watched(configured)
    this.#log = watched(`${file}-wal`)
    this.#stamp = stamp
    this.#stamped = stamp && readStamp(stamp)
  }

  get problem(): string | undefined {
    return this.#problem
  }

  get overwritten(): boolean {
    return this.#overwritten
  }

  /** Looks at the paths. Returns the problem, if there is one. */
  look(): string | undefined {
    this.#problem = this.#overwritten
      ? `${this.#file.path} was overwritten by another program. Nothing is acknowledged any more: stop the central, and `
        + "restore the ledger from a backup"
      : this.#lookAt(this.#file) ?? this.#lookAt(this.#log)
    return this.#problem
  }

  /** Looks into the file as well: another program may have overwritten it in place, which can't be put right. */
  lookInside(): string | undefined {
    if (this.#stamp !== undefined && this.#stamped?.equals(readStamp(this.#stamp)) === false) {
      this.#overwritten = true
    }
    return this.look()
  }

  #lookAt({ dev, ino, path }: Watched): string | undefined {
    let found: fs.BigIntStats | undefined
    try {
      found = fs.statSync(path, { bigint: true, throwIfNoEntry: false })
    } catch (error) {
      return `${path} can't be looked at (${
        error instanceof Error ? error.message : String(error)
      }). ${whatToDo}`
    }
    if (found === undefined) return `${path} is gone. ${whatToDo}`
    if (found.ino !== ino || found.dev !== dev) return `${path} is another file now. ${whatToDo}`
    return found.nlink > 1n ? otherNamesProblem(path, found.nlink) : undefined
  }
}
