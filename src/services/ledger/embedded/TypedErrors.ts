/** The typed error that a failure of work on a ledger's file becomes. */
import { Effect } from "effect"
import {
  LedgerInUse,
  LedgerMismatch,
  type LedgerOpenError,
  LedgerUnavailable,
  LedgerUnreadable
} from "../BetLedger.ts"
import { type OperatingFailure, toFailure } from "../sqlite/LedgerProblem.ts"

/** Of an operation on an open ledger: whatever failed, trying again can help. */
export const unavailableIn =
  (operation: string) => (failure: OperatingFailure): LedgerUnavailable =>
    new LedgerUnavailable({
      operation,
      cause: new Error(describe(failure), { cause: failure })
    })

const describe = (failure: OperatingFailure): string => {
  switch (failure.kind) {
    case "Unavailable":
    case "Displaced":
      return failure.message
    case "Unreadable":
      return failure.problem
    case "InUse":
    case "Mismatch":
      return failure.kind
  }
}

/** Of an operation on the file at `path`. */
export const errorAt =
  (path: string, operation: string) => (failure: OperatingFailure): LedgerOpenError => {
    switch (failure.kind) {
      case "InUse":
        return new LedgerInUse({ path })
      case "Mismatch": {
        const { configured, ledger, what } = failure
        return new LedgerMismatch({ path, what, ledger, configured })
      }
      case "Unreadable":
        return new LedgerUnreadable({ path, problem: failure.problem })
      case "Unavailable":
      case "Displaced":
        return unavailableIn(operation)(failure)
    }
  }

/** Synchronous work on the file at `path`. A defect dies. */
export const attempt = <A>(
  operation: string,
  path: string,
  work: () => A
): Effect.Effect<A, LedgerOpenError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(work())
    } catch (error) {
      const failure = toFailure(error)
      return failure.kind === "Defect"
        ? Effect.die(error)
        : Effect.fail(errorAt(path, operation)(failure))
    }
  })
