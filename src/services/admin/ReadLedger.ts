/** Reading a ledger's file in short transactions, with what can go wrong as errors. */
import { Effect } from "effect"
import type { DatabaseSync } from "node:sqlite"
import { LedgerUnavailable, LedgerUnreadable } from "../ledger/BetLedger.ts"
import { toFailure } from "../ledger/sqlite/LedgerProblem.ts"
import { openReadOnly } from "../ledger/sqlite/OpenLedger.ts"

/** How long a report waits for a program that holds the whole file. */
const busyTimeoutMs = 5000

export const open = (path: string) =>
  Effect.acquireRelease(
    attempt("open", path, () => openReadOnly(path, busyTimeoutMs)),
    (db) => Effect.sync(() => db.close())
  )

export const attempt = <A>(operation: string, path: string, work: () => A) =>
  Effect.suspend((): Effect.Effect<A, LedgerUnreadable | LedgerUnavailable> => {
    try {
      return Effect.succeed(work())
    } catch (error) {
      const failure = toFailure(error)
      return failure.kind === "Unreadable"
        ? Effect.fail(new LedgerUnreadable({ path, problem: failure.problem }))
        : failure.kind === "Unavailable"
        ? Effect.fail(new LedgerUnavailable({ operation, cause: error }))
        : Effect.die(error)
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
