/**
 * Notices when a ledger's path no longer leads to the file that is written: it was removed, another was put in its place
 * (a restore without a stop), or it got a second name. A commit goes on working then, into a file that nobody finds after
 * the process's end. So the writer looks after every commit and before its answer, which costs a few microseconds, and
 * each second while there are none, then also into the file.
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

/** What keeps the ledger's paths from being what they were, and what to do. */
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
  /** What the last look found. */
  #problem: string | undefined
  #overwritten = false

  /** Of a ledger that was just opened: `configured` is its path as it was configured, `file` what that means. */
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

  /** What is wrong now. */
  look(): string | undefined {
    this.#problem = this.#overwritten
      ? `${this.#file.path} was overwritten by another program. Nothing is acknowledged any more: stop the central, and `
        + "restore the ledger from a backup"
      : this.#lookAt(this.#file) ?? this.#lookAt(this.#log)
    return this.#problem
  }

  /** Also into the file, which another program can have written over in its place: that can't be put right again. */
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
