/**
 * Opens a ledger's file for a command that works without the central, and says what can go wrong as typed errors. A
 * server may be writing to the file: readers keep their transactions short, because an open one keeps the server's
 * write-ahead log from being emptied.
 */
import { Effect } from "effect"
import type { DatabaseSync } from "node:sqlite"
import { LedgerInUse, LedgerUnavailable, LedgerUnreadable } from "../ledger/BetLedger.ts"
import { toFailure } from "../ledger/sqlite/LedgerProblem.ts"
import { openReadOnly } from "../ledger/sqlite/OpenLedger.ts"

export type LedgerFileError = LedgerInUse | LedgerUnavailable | LedgerUnreadable

/** How long a command waits for a program that holds the whole file. */
const busyTimeoutMs = 5000

/** For reading only. The file must exist, and is not changed. */
export const openLedger = (file: string) =>
  Effect.acquireRelease(
    attempt("open", file, () => openReadOnly(file, busyTimeoutMs)),
    (db) => Effect.sync(() => db.close())
  )

/** Runs synchronous work on a ledger. `operation` names it for messages. */
export const attempt = <A>(
  operation: string,
  file: string,
  work: () => A
): Effect.Effect<A, LedgerFileError> =>
  Effect.suspend((): Effect.Effect<A, LedgerFileError> => {
    try {
      return Effect.succeed(work())
    } catch (error) {
      const failure = toFailure(error)
      switch (failure.kind) {
        case "InUse":
          return Effect.fail(new LedgerInUse({ path: file }))
        case "Unreadable":
          return Effect.fail(new LedgerUnreadable({ path: file, problem: failure.problem }))
        case "Unavailable": {
          const cause = new Error(failure.message, { cause: error })
          return Effect.fail(new LedgerUnavailable({ operation, cause }))
        }
        case "Mismatch":
        case "Displaced":
        case "Defect":
          return Effect.die(error)
      }
    }
  })

export const inTransaction = <A>(db: DatabaseSync, work: () => A): A => {
  db.exec("BEGIN")
  try {
    return work()
  } finally {
    db.exec("COMMIT")
  }
}
