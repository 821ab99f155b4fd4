/**
 * The number of chunks that were acknowledged, in a small file beside the ledger while its log holds anything. SQLite
 * takes the first damaged frame of a log for its end, as after a crash, and silently drops what was committed behind
 * it. The mark is written after the commit's sync and isn't synced itself: it can be behind what the log held, never
 * ahead. So a ledger that holds less than its mark has lost acknowledged chunks.
 */
import * as fs from "node:fs"
import { damaged } from "./LedgerProblem.ts"

const digits = 16

export class AcknowledgedMark {
  readonly #path: string
  readonly #beganAt: string
  readonly #descriptor: number

  /** Refuses a ledger, begun at `beganAt`, that holds less than was acknowledged. */
  constructor(ledger: string, beganAt: string, lastChunk: number) {
    this.#path = pathOf(ledger)
    this.#beganAt = beganAt
    readMark(ledger).compare(beganAt, lastChunk)
    this.#descriptor = fs.openSync(this.#path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644)
    this.note(lastChunk)
  }

  /** Everything up to this chunk is on disk. The text is always of the same length, so a full disk has room for it. */
  note(lastChunk: number): void {
    try {
      fs.writeSync(
        this.#descriptor,
        `${this.#beganAt} ${String(lastChunk).padStart(digits, "0")}\n`,
        0
      )
    } catch {
      // The chunks are stored in any case. A mark that stays behind only detects less.
    }
  }

  /** The log is empty: nothing of the ledger can be lost with it. */
  remove(): void {
    fs.rmSync(this.#path, { force: true })
  }

  close(): void {
    fs.closeSync(this.#descriptor)
  }
}

export const markEnding = ".mark"

const pathOf = (ledger: string): string => ledger + markEnding

const read = (path: string): ReadonlyArray<string> => {
  try {
    return fs.readFileSync(path, "utf8").trim().split(" ")
  } catch {
    // There is no mark: the ledger was closed in good order, or is a copy.
    return []
  }
}

/** The mark as it is now. Read before the ledger, it can be compared even while a server writes. */
export const readMark = (ledger: string) => {
  const path = pathOf(ledger)
  const [marked, chunks] = read(path)
  return {
    /** Throws if the ledger holds less than was acknowledged. `beganAt` is undefined if it holds no lottery. */
    compare: (beganAt: string | undefined, lastChunk: number): void => {
      // The mark of another ledger that had this name doesn't count.
      if ((beganAt ?? marked) !== marked || !(Number(chunks) > lastChunk)) return
      throw damaged(
        `${Number(chunks)} chunks were acknowledged and ${lastChunk} are there`,
        `. Without one: remove ${path} to continue with what is left, and have the agencies send again`
      )
    }
  }
}
