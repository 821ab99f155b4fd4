/**
 * How an agency tries again: exponential backoff with full jitter, so that agencies cut off together don't come back
 * together, and never before the central's `retry_after_ms`. Any progress starts the backoff anew. Every single wait is
 * bounded, and so is the time without progress, after which the agency says so and ends.
 *
 * Two clients of one agency take the connection from each other, each making progress in between. So connections that
 * the central closes one after another have a backoff of their own, which no progress starts anew: only a connection
 * that was left alone for longer than its longest wait, or a central that isn't there, shows that nobody else wants it.
 */
import { Clock, Effect, Random, Schema } from "effect"
import { backoffMs } from "../base/Backoff.ts"
import type { ConnectionLost } from "./CentralConnection.ts"

export interface PatienceOptions {
  readonly backoffFirstMs: number
  readonly backoffMaxMs: number
  /** The longest wait of a client that the connection is taken from. */
  readonly takeoverBackoffMaxMs: number
  /** Without progress for as long as this, trying ends. */
  readonly giveUpAfterMs: number
}

/** The central could not be reached, or not be made to take anything, for as long as the agency would try. */
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

/** A central that asks for more is asked again after this long anyway. */
const retryAfterMsMax = 600_000

export interface Patience {
  /** The central answers on a new connection. */
  readonly connected: Effect.Effect<void>
  /** Something was achieved: the backoff and the time to give up start anew. */
  readonly progressed: Effect.Effect<void>
  /** Waits until it is time to try again. */
  readonly wait: (lost: ConnectionLost) => Effect.Effect<void, CentralUnreachable>
}

/** Connections that the central closed one after another, as when another client takes each of them over. */
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

  /** How many, the one that was just lost included. */
  lost(closed: boolean, now: number): number {
    const connectedAt = this.#connectedAt
    this.#connectedAt = undefined
    if (connectedAt === undefined) this.#count = 0
    else if (closed) this.#count = now - connectedAt > this.#longestWaitMs ? 1 : this.#count + 1
    return this.#count
  }
}

/** A wall clock that is set must not make an agency give up, nor try in vain for ever. */
const monotonicMs = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos / 1_000_000n))

/** `onWait` is told of every wait before it begins. */
export const makePatience = Effect.fnUntraced(function*(
  central: string,
  { backoffFirstMs, backoffMaxMs, giveUpAfterMs, takeoverBackoffMaxMs }: PatienceOptions,
  onWait: (lost: ConnectionLost, waitMs: number) => void
): Effect.fn.Return<Patience> {
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
      // A central that says when to come back is there: waiting for it isn't in vain.
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
