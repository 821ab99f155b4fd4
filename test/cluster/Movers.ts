/**
 * Agencies that change server all the time: of their own accord, sometimes in the middle of a chunk, and when the server
 * that they speak to is killed. They sell as fast as their pacer allows.
 */
import { ok } from "node:assert/strict"
import { setTimeout } from "node:timers/promises"
import type { Random } from "../simulation/Random.ts"
import { type Address, FieldAgency } from "../support/FieldAgency.ts"
import { ourAgency } from "../support/OurAgency.ts"
import { TcpProxy } from "../support/TcpProxy.ts"

/** What an agency knows of the lottery around it. */
export interface Surroundings {
  readonly addresses: readonly [Address, ...ReadonlyArray<Address>]
  /** The part of its bets, from 0 to 1, that an agency may have sold by now. */
  readonly mayHaveSold: () => number
  /** How often it moves, in milliseconds on average; never while infinite. */
  readonly moveEveryMs: number
  /** An agency that makes no progress for so long has been forgotten. */
  readonly patienceMs: number
}

export abstract class Mover {
  readonly id: number
  readonly bets: ReadonlyArray<string>
  /** How many of its bets were acknowledged, the highest that it was ever told. */
  acknowledged = 0
  /** How often it left a server that it could have stayed with. */
  moves = 0
  winners: ReadonlyArray<string> | undefined

  constructor(id: number, bets: ReadonlyArray<string>) {
    this.id = id
    this.bets = bets
  }

  protected acknowledge(bets: number): void {
    this.acknowledged = Math.max(this.acknowledged, bets)
  }

  /** What may be sold by now; the end only when everything may. */
  protected limit(around: Surroundings): number {
    const part = around.mayHaveSold()
    return part >= 1 ? Infinity : Math.floor(part * (this.bets.length - 1))
  }

  /** Delivers everything and learns its winners. */
  abstract work(around: Surroundings, random: Random): Promise<void>
}

class Moves extends Error {}

const unanswered = Symbol("unanswered")

/** The answer; an agency whose time to move has come doesn't wait for it. */
const beforeLeaving = async <A>(
  sending: Promise<A>,
  leavesAt: number,
  around: Surroundings
): Promise<A> => {
  sending.catch(() => {})
  for (;;) {
    const answer = await Promise.race([sending, setTimeout(50, unanswered)])
    if (answer !== unanswered) return answer
    if (performance.now() > leavesAt && around.mayHaveSold() < 1) throw new Moves()
  }
}

/**
 * An agency from the field: it doesn't number its chunks, so each server that it comes to is sent everything from the top,
 * with another chunk size. It consults on another server than it sells to.
 */
export class FieldMover extends Mover {
  async work(around: Surroundings, random: Random): Promise<void> {
    let progress = { at: performance.now(), acknowledged: 0 }
    while (this.winners === undefined) {
      try {
        const { betsPort } = random.pick(around.addresses)
        const { consultPort } = random.pick(around.addresses)
        using agency = await FieldAgency.open({ betsPort, consultPort }, this.id)
        await this.#sell(agency, around, random)
        this.winners = await agency.consult()
      } catch (error) {
        const now = performance.now()
        if (error instanceof Moves) this.moves++
        if (this.acknowledged > progress.acknowledged) {
          progress = { at: now, acknowledged: this.acknowledged }
        } else if (now - progress.at > around.patienceMs) throw error
        if (!(error instanceof Moves)) await setTimeout(random.integer(5, 60))
      }
    }
  }

  async #sell(agency: FieldAgency, around: Surroundings, random: Random): Promise<void> {
    const size = random.integer(1, 12)
    const leavesAt = performance.now() - Math.log(1 - random.next()) * around.moveEveryMs
    for (let at = 0; at === 0 || at < this.bets.length;) {
      const size_ = at < this.acknowledged ? 200 : size
      const leaves = performance.now() > leavesAt && around.mayHaveSold() < 1
      const chunk = this.bets.slice(at, at + size_)
      const last = at + size_ >= this.bets.length
      if (at + chunk.length > Math.max(this.limit(around), this.acknowledged)) {
        if (leaves) throw new Moves()
        await setTimeout(random.integer(5, 30))
        continue
      }
      const sending = agency.sendChunk(chunk, last)
      if (leaves) {
        // In the middle of a chunk: whether it is stored, it learns from another server, or never.
        sending.catch(() => {})
        await setTimeout(random.integer(0, 2))
        throw new Moves()
      }
      const answer = await beforeLeaving(sending, leavesAt, around)
      if (answer === undefined) throw new Error("the connection ended")
      ok(
        answer.type_message === 1,
        `agency ${this.id}: a chunk was refused: ${JSON.stringify(answer)}`
      )
      at += chunk.length
      this.acknowledge(at)
    }
  }
}

/** The product's own agency, behind a load balancer that gives each of its connections to any server. */
export class OurMover extends Mover {
  async work(around: Surroundings, random: Random): Promise<void> {
    await using bets = await TcpProxy.start(() => random.pick(around.addresses).betsPort)
    await using consults = await TcpProxy.start(() => random.pick(around.addresses).consultPort)
    const moving = new AbortController()
    const mover = this.#moveAround(bets, around, random, moving.signal)
    try {
      this.winners = await ourAgency({
        id: this.id,
        betsPort: bets.port,
        consultPort: consults.port,
        bets: () => this.#slowly(around, random),
        chunkBets: random.integer(1, 8),
        windowChunks: random.integer(1, 8),
        giveUpAfterMs: around.patienceMs,
        onStored: (count) => {
          ok(
            count >= this.acknowledged,
            `agency ${this.id}: ${this.acknowledged} bets became ${count}`
          )
          this.acknowledge(count)
        }
      })
    } finally {
      moving.abort()
      await mover
    }
  }

  async *#slowly(around: Surroundings, random: Random): AsyncGenerator<string> {
    for (const [index, bet] of this.bets.entries()) {
      while (index >= Math.max(this.limit(around), this.acknowledged)) {
        await setTimeout(random.integer(5, 30))
      }
      yield bet
    }
  }

  async #moveAround(
    proxy: TcpProxy,
    around: Surroundings,
    random: Random,
    ended: AbortSignal
  ): Promise<void> {
    while (!ended.aborted && around.moveEveryMs < Infinity) {
      const ms = -Math.log(1 - random.next()) * around.moveEveryMs
      await setTimeout(ms, undefined, { signal: ended }).catch(() => {})
      if (ended.aborted || around.mayHaveSold() >= 1 || proxy.connections === 0) continue
      this.moves++
      proxy.cut()
    }
  }
}
