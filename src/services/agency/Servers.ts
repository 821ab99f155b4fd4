/**
 * The servers that an agency may use, all of one lottery. The first is the one to prefer: where many agencies are to be
 * spread, each is given another order. After a lost connection the next one is tried, at once but for a short random wait;
 * after a round in which none helped, the agency waits longer with each round. It stays with a server that serves it.
 */
import { invariant } from "../../domain/Invariant.ts"
import { backoffMs } from "../base/Backoff.ts"
import { type Address, type ConnectionLost, formatAddress } from "./CentralConnection.ts"

export type Addresses = readonly [Address, ...ReadonlyArray<Address>]

interface Server {
  readonly address: Address
  /** When it said that it can be asked again, on the clock of the caller. */
  notBeforeMs: number
  /** How its last connection ended, since there was progress. */
  problem: string | undefined
}

export interface WaitBounds {
  readonly backoffFirstMs: number
  readonly backoffMaxMs: number
}

/** The longest wait that a central can ask for. */
const retryAfterMsMax = 600_000

export class Servers {
  readonly #servers: ReadonlyArray<Server>
  readonly #bounds: WaitBounds
  #at = 0
  /** Attempts since there was progress, and rounds that ended without any. */
  #attempts = 0
  #rounds = 0

  constructor(addresses: Addresses, bounds: WaitBounds) {
    this.#servers = addresses.map((address) => ({ address, notBeforeMs: 0, problem: undefined }))
    this.#bounds = bounds
  }

  /** The server of the next attempt. */
  get address(): Address {
    return this.#current.address
  }

  progressed(): void {
    this.#attempts = this.#rounds = 0
    for (const server of this.#servers) server.problem = undefined
  }

  /**
   * The connection to the current server was lost. Returns how long the next attempt may be put off at most, beyond what
   * its server has asked for.
   */
  lost({ everywhere, problem, retryAfterMs = 0 }: ConnectionLost, nowMs: number): number {
    const server = this.#current
    server.problem = problem
    server.notBeforeMs = nowMs + Math.min(retryAfterMs, retryAfterMsMax)
    if (everywhere === true) return this.#endRound()
    const { length } = this.#servers
    this.#at = (this.#at + 1) % length
    this.#attempts++
    return this.#attempts % length === 0 ? this.#endRound() : this.#longestWaitMs(1)
  }

  /** How long its server has asked to be left alone. */
  askedWaitMs(nowMs: number): number {
    return Math.max(0, this.#current.notBeforeMs - nowMs)
  }

  /** How each of them failed: `a:1 (ECONNREFUSED), b:2 (not tried)`. */
  get problems(): string {
    return this.#servers.map(({ address, problem = "not tried" }) =>
      `${formatAddress(address)} (${problem})`
    ).join(", ")
  }

  #endRound(): number {
    return this.#longestWaitMs(++this.#rounds)
  }

  #longestWaitMs(rounds: number): number {
    const { backoffFirstMs: firstMs, backoffMaxMs: maxMs } = this.#bounds
    return backoffMs(rounds, { firstMs, maxMs })
  }

  get #current(): Server {
    const server = this.#servers[this.#at]
    invariant(server !== undefined, "an agency has a server")
    return server
  }
}
