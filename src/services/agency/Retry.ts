/**
 * An agency's retry: exponential backoff with full jitter, so that agencies that were cut off together don't come back
 * together, and never before the central's `retry_after_ms`. With several servers it moves on to the next (Servers.ts). Progress resets the backoff. Each wait is bounded, and so is
 * the time without progress, after which the agency ends with an error.
 *
 * Two clients of one agency take the connection from each other, and both make progress in between. So connections that
 * the central closes one after another have a backoff of their own, which progress doesn't reset. It is reset by a
 * connection that lasted longer than the longest wait, since a rival would have taken it, and by an attempt that reaches
 * no central.
 */
import { Clock, Effect, Random, Schema } from "effect"
import { backoffMs } from "../base/Backoff.ts"
import { type Address, ConnectionLost } from "./CentralConnection.ts"
import { type Addresses, Servers, type WaitBounds } from "./Servers.ts"

export interface RetryOptions extends WaitBounds {
  /** The longest wait of a client that the connection is taken from. */
  readonly takeoverBackoffMaxMs: number
  /** The longest time without progress. */
  readonly giveUpAfterMs: number
}

/** The central could not be reached, or took nothing, for as long as the agency tries. */
export class CentralUnreachable
  extends Schema.TaggedError<CentralUnreachable>()("CentralUnreachable", {
    forMs: Schema.Int,
    /** How each of its servers failed. */
    problems: Schema.String
  })
{
  override get message(): string {
    return `${this.problems}: no progress for ${Math.round(this.forMs / 1000)} s; `
      + "check the address and the network and start again: what was answered is stored"
  }
}

export interface Retry {
  /** The server of the next attempt. */
  readonly server: Effect.Effect<Address>
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
  attempt: (server: Address) => Effect.Effect<A, E | ConnectionLost>
): Effect.Effect<A, E | CentralUnreachable> =>
  Effect.catch(Effect.flatMap(retry.server, attempt), (failure) =>
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

/** A wait that begins: a connection to `from` was lost, and the next is one to `to`. */
export interface Wait {
  readonly lost: ConnectionLost
  readonly from: Address
  readonly to: Address
  readonly waitMs: number
}

/** `onWait` is called before each wait. */
export const makeRetry = Effect.fnUntraced(function*(
  addresses: Addresses,
  options: RetryOptions,
  onWait: (wait: Wait) => void
): Effect.fn.Return<Retry> {
  const { backoffFirstMs, giveUpAfterMs, takeoverBackoffMaxMs } = options
  let progressAt = yield* monotonicMs
  const servers = new Servers(addresses, options)
  const takeovers = new Takeovers(takeoverBackoffMaxMs)

  return {
    server: Effect.sync(() => servers.address),
    connected: Effect.map(monotonicMs, (now) => takeovers.connected(now)),
    progressed: Effect.map(monotonicMs, (now) => {
      servers.progressed()
      progressAt = now
    }),
    wait: Effect.fnUntraced(function*(lost) {
      const now = yield* monotonicMs
      const from = servers.address
      const longestWaitMs = servers.lost(lost, now)
      // A central that says when to come back can be reached.
      if (lost.retryAfterMs !== undefined) progressAt = now
      const forMs = now - progressAt
      if (forMs >= giveUpAfterMs) {
        return yield* new CentralUnreachable({ forMs, problems: servers.problems })
      }
      const taken = takeovers.lost(lost.closed === true, now)
      const ceiling = Math.max(
        longestWaitMs,
        taken === 0 ? 0 : backoffMs(taken, { firstMs: backoffFirstMs, maxMs: takeoverBackoffMaxMs })
      )
      const jitter = (yield* Random.next) * ceiling
      const waitMs = Math.round(servers.askedWaitMs(now) + jitter)
      onWait({ lost, from, to: servers.address, waitMs })
      yield* Effect.sleep(waitMs)
    })
  }
})
