/**
 * What an error of PostgreSQL, or of the connection to it, means for the operation that it ended. The library's own
 * judgement (`isRetryable`) isn't used: it takes a failover, a full disk and a read-only standby for mistakes.
 *
 * Messages hold the server's own text and its SQLSTATE, never its details: those quote rows.
 */
import { Effect } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { LedgerUnavailable } from "../BetLedger.ts"

/**
 * SQLSTATEs, or their first characters, after which a later attempt can succeed, perhaps when an operator has done
 * something: the server is away or starting (08, 57P), a right or the database is missing (28, 3D, 42501, 42P01),
 * something has run out (53, 54), it is a standby (25006), another transaction was in the way (40, 55), the session was
 * ended for taking too long (25P, 57014), a disk or the data is broken (58, XX), or a pooler has mixed up sessions (26).
 */
const transient = [
  "08",
  "25006",
  "25P",
  "26",
  "28",
  "3D",
  "40",
  "42501",
  "42P01",
  "53",
  "54",
  "55",
  "57",
  "58",
  "XX"
] as const

/** The fields of an error message that matter. */
export interface ServerError {
  /** SQLSTATE. */
  readonly code: string
  /** As it is in every language of the server's messages. */
  readonly severity: string
}

/** Undefined if the server said nothing: the connection failed, was cut, or the answer didn't come in time. */
export const serverErrorOf = ({ reason }: SqlError): ServerError | undefined => {
  const { cause } = reason
  if (!(cause instanceof Error && "code" in cause && "severity" in cause)) return undefined
  // A pooler may say it once only, in English.
  const { severityUnlocalized: severity = cause.severity } = {
    severityUnlocalized: undefined,
    ...cause
  }
  return typeof cause.code === "string" && typeof severity === "string"
    ? { code: cause.code, severity }
    : undefined
}

/** A mistake of ours, or something that would break the count. */
export const isDefect = (error: SqlError): boolean => {
  const said = serverErrorOf(error)
  return said === undefined
    ? error.reason._tag !== "ConnectionError" && error.reason._tag !== "AuthenticationError"
    : !isTransient(said.code)
}

/** By SQLSTATE: a later attempt can succeed. */
export const isTransient = (code: string): boolean =>
  transient.some((prefix) => code.startsWith(prefix))

/**
 * Whether an error answers a statement in such a way that nothing of it is stored. An error that ends the session
 * (FATAL) can come after the commit; so can a cancellation, since it also ends the wait for a standby.
 */
export const isRolledBack = ({ code, severity }: ServerError): boolean =>
  severity === "ERROR" && code !== "57014"

export const describeSql = (error: SqlError): string => {
  const { cause, message } = error.reason
  const said = serverErrorOf(error)
  const text = cause instanceof Error && cause.message !== "" ? cause.message : message ?? ""
  return said === undefined ? text : `${text} (SQLSTATE ${said.code})`
}

export const unavailable = (operation: string, problem: string): LedgerUnavailable =>
  new LedgerUnavailable({ operation, cause: new Error(problem) })

/** Names the database, which the problem of its first use doesn't. `shown` is its address for messages. */
export const notOpened =
  (shown: string) => ({ problem }: LedgerUnavailable): Effect.Effect<never, LedgerUnavailable> => {
    const advice = problem.includes("requested password authentication")
      ? "; set LEDGER_PASSWORD or LEDGER_PASSWORD_FILE"
      : ""
    return Effect.fail(unavailable("open", `${shown}: ${problem}${advice}`))
  }

/** What is read is not what was stored. */
export const damaged = (operation: string, what: string): LedgerUnavailable =>
  unavailable(
    operation,
    `${what}: the database is damaged; stop the servers and restore it from a backup`
  )

/** Of an operation that can be tried again. */
export const failSql =
  (operation: string) => (error: SqlError): Effect.Effect<never, LedgerUnavailable> =>
    isDefect(error)
      ? Effect.die(new Error(`${operation}: ${describeSql(error)}`))
      : Effect.fail(unavailable(operation, describeSql(error)))
