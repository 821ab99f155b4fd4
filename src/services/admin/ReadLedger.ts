/**
 * Opens a ledger's file for a command that works without the central, and says what can go wrong as typed errors. A
 * server may be writing to the file: readers keep their transactions short, because an open one keeps the server's
 * write-ahead log from being emptied.
 */
import { Effect } from "effect"
import type { DatabaseSync } from "node:sqlite"
import { attempt as attemptAny } from "../ledger/embedded/TypedErrors.ts"
import { openReadOnly } from "../ledger/sqlite/OpenLedger.ts"
import type { LedgerReadError } from "./StoredLedger.ts"

/** How long a command waits for a program that holds the whole file. */
const busyTimeoutMs = 5000

/** For reading only. The file must exist, and is not changed. */
export const openLedger = (file: string) =>
  Effect.acquireRelease(
    attempt("open", file, () => openReadOnly(file, busyTimeoutMs)),
    (db) => Effect.sync(() => db.close())
  )

/** Runs synchronous work on a ledger. `operation` names it for messages. No configuration is compared here. */
export const attempt = <A>(
  operation: string,
  file: string,
  work: () => A
): Effect.Effect<A, LedgerReadError> =>
  Effect.catchTag(attemptAny(operation, file, work), "LedgerMismatch", Effect.die)

export const inTransaction = <A>(db: DatabaseSync, work: () => A): A => {
  db.exec("BEGIN")
  try {
    return work()
  } finally {
    db.exec("COMMIT")
  }
}
