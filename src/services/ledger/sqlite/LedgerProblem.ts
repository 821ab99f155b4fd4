/** How work on a ledger's file fails: the failures that the main thread is told, and which failure an error is. */
import { isDamage, isTransient, primaryCode, resultCode, sqliteCode } from "./SqliteCodes.ts"

/** Becomes a typed error on the main thread. */
export type OperatingFailure =
  | { readonly kind: "InUse" }
  | {
    readonly kind: "Mismatch"
    readonly what: "agencies" | "winning number" | "draw"
    readonly ledger: string
    readonly configured: string
  }
  | { readonly kind: "Unreadable"; readonly problem: string }
  | { readonly kind: "Unavailable"; readonly message: string; readonly code: number | undefined }
  /** The path no longer leads to the file that is written. */
  | { readonly kind: "Displaced"; readonly message: string }

export type Failure = OperatingFailure | { readonly kind: "Defect"; readonly message: string }

/** Thrown for a failure that SQLite didn't report. */
export class LedgerProblem extends Error {
  readonly failure: Failure
  constructor(failure: Failure) {
    super(failure.kind)
    this.failure = failure
  }
}

/** Ends the request, and in the end the process: the ledger would break the count, or can't vouch for it. */
export const defect = (message: string): LedgerProblem =>
  new LedgerProblem({ kind: "Defect", message })

export const isDefect = (error: unknown): boolean =>
  error instanceof LedgerProblem && error.failure.kind === "Defect"

export const unreadable = (problem: string): LedgerProblem =>
  new LedgerProblem({ kind: "Unreadable", problem })

/** Trying again can help. `code` is SQLite's, if SQLite reported it. */
export const unavailable = (message: string, code?: number): LedgerProblem =>
  new LedgerProblem({ kind: "Unavailable", message, code })

/** In words: what is read is not what was stored. */
export const damageProblem = (what: string): string =>
  `${what}: the file is damaged; stop the server and restore the ledger from a backup`

/** What is read is not what was stored. `otherwise`: what can be done without a backup. */
export const damaged = (what: string, otherwise = ""): LedgerProblem =>
  unreadable(damageProblem(what) + otherwise)

/** A row holds another chunk than the one that was stored there. */
export const misplaced = (agency: number, seq: number): LedgerProblem =>
  damaged(`chunk ${seq} of agency ${agency} is not in its place`)

/** What to do about damage, where nothing else is said: throw. */
export const refuseDamage = (what: string): never => {
  throw damaged(what)
}

export const toFailure = (error: unknown): Failure => {
  if (error instanceof LedgerProblem) return error.failure
  const message = messageOf(error)
  if (isDamage(error)) return damaged(message).failure
  if (isTransient(error)) return { kind: "Unavailable", message, code: resultCode(error) }
  return { kind: "Defect", message: error instanceof Error ? (error.stack ?? message) : message }
}

/** Makes what fails while a file is opened a problem that names the file and says what to do. */
export const whileOpening = <A>(file: string, work: () => A): A => {
  try {
    return work()
  } catch (error) {
    throw toOpenProblem(error, file)
  }
}

const toOpenProblem = (error: unknown, file: string): unknown => {
  if (error instanceof LedgerProblem) return error
  const message = messageOf(error)
  if (primaryCode(error) === sqliteCode.notADatabase) {
    return unreadable("the file is not a ledger (not an SQLite database)")
  }
  const isSystemError = error instanceof Error && "code" in error && "syscall" in error
  if (isTransient(error) || isSystemError) {
    return unavailable(
      `${file} can't be opened: ${message}. Check that the folder exists, that the server's user may write `
        + "to it and to the file, and that the disk has room.",
      resultCode(error)
    )
  }
  // Whatever else SQLite reports of a file that it takes for a database is damage.
  return primaryCode(error) === undefined ? error : damaged(message)
}

const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error)
