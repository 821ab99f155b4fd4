/**
 * An agency's retry: exponential backoff with full jitter, so that agencies that were cut off together don't come back
 * together, and never before the central's `retry_after_ms`. Progress resets the backoff. Each wait is bounded, and so is
 * the time without progress, after which the agency ends with an error.
 *
 * Two clients of one agency take the connection from each other, and both make progress in between. So connections that
 * the central closes one after another have a backoff of their own, which progress doesn't reset. It is reset by a
 * connection that lasted longer than the longest wait, since a rival would have taken it, and by an attempt that reaches
 * no central.
 */
import { Clock, Effect, Random, Schema } from "effect"
import { backoffMs } from "../base/Backoff.ts"
import { ConnectionLost } from "./CentralConnection.ts"

export interface RetryOptions {
  readonly backoffFirstMs: number
  readonly backoffMaxMs: number
  /** The longest wait of a client that the connection is taken from. */
  readonly takeoverBackoffMaxMs: number
  /** The longest time without progress. */
  readonly giveUpAfterMs: number
}

/** The central could not be reached, or took nothing, for as long as the agency tries. */
export class CentralUnreachable
  extends Schema.TaggedError<CentralUnreachable>()("CentralUnreachable", {
    central: Schema.String,
    forMs: Schema.Int,
    problem: Schema.String
  })
{
  override get message(): string {
    return `${this.central}: no progress for ${Math.round(this.forMs / 1000)} s (${this.problem}); `
      + "check the address and the network and start again: what was answered is stored"
  }
}

/** The longest wait that a central can ask for. */
const retryAfterMsMax = 600_000

export interface Retry {
  /** The central answered on a new connection. */
  readonly connected: Effect.Effect<void>
  /** Resets the backoff and the time without progress. */
  readonly progressed: Effect.Effect<void>
  /** Waits until it is time for the next attempt. */
  readonly wait: (lost: ConnectionLost) => Effect.Effect<void, CentralUnreachable>
}

/** Makes the attempt again, after a wait, each time that it ends with a lost connection. */
export const retryWhenLost = <A, E>(
  retry: Retry,
  attempt: Effect.Effect<A, E | ConnectionLost>
): Effect.Effect<A, E | CentralUnreachable> =>
  Effect.catch(attempt, (failure) =>
    failure instanceof ConnectionLost
      ? Effect.andThen(retry.wait(failure), retryWhenLost(retry, attempt))
      : Effect.fail(failure))

/** Connections that the central closed one after another, as it does when another client takes each of them over. */
class Takeovers {
  readonly #longestWaitMs: number
  #count = 0
  #connectedAt: number | undefined

  constructor(longestWaitMs: number) {
    this.#longestWaitMs = longestWaitMs
  }

  connected(now: number): void {
    this.#connectedAt = now
  }

  /** How many they are, with the one that was just lost. */
  lost(closed: boolean, now: number): number {
    const connectedAt = this.#connectedAt
    this.#connectedAt = undefined
    if (connectedAt === undefined) this.#count = 0
    else if (closed) this.#count = now - connectedAt > this.#longestWaitMs ? 1 : this.#count + 1
    return this.#count
  }
}

/** A wall clock that is set must neither make an agency give up, nor keep it trying for ever. */
const monotonicMs = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos / 1_000_000n))

/** `onWait` is called before each wait. */
export const makeRetry = Effect.fnUntraced(function*(
  central: string,
  { backoffFirstMs, backoffMaxMs, giveUpAfterMs, takeoverBackoffMaxMs }: RetryOptions,
  onWait: (lost: ConnectionLost, waitMs: number) => void
): Effect.fn.Return<Retry> {
  let failures = 0
  let progressAt = yield* monotonicMs
  const takeovers = new Takeovers(takeoverBackoffMaxMs)

  return {
    connected: Effect.map(monotonicMs, (now) => takeovers.connected(now)),
    progressed: Effect.map(monotonicMs, (now) => {
      failures = 0
      progressAt = now
    }),
    wait: Effect.fnUntraced(function*(lost) {
      const now = yield* monotonicMs
      // A central that says when to come back can be reached.
      if (lost.retryAfterMs !== undefined) progressAt = now
      const forMs = now - progressAt
      if (forMs >= giveUpAfterMs) {
        return yield* new CentralUnreachable({ central, forMs, problem: lost.problem })
      }
      failures++
      const taken = takeovers.lost(lost.closed === true, now)
      const ceiling = Math.max(
        backoffMs(failures, { firstMs: backoffFirstMs, maxMs: backoffMaxMs }),
        taken === 0 ? 0 : backoffMs(taken, { firstMs: backoffFirstMs, maxMs: takeoverBackoffMaxMs })
      )
      const jitter = (yield* Random.next) * ceiling
      const waitMs = Math.round(Math.min(lost.retryAfterMs ?? 0, retryAfterMsMax) + jitter)
      onWait(lost, waitMs)
      yield* Effect.sleep(waitMs)
    })
  }
})
