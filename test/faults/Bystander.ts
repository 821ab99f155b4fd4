/**
 * An agency that the fault does not concern: it numbers its chunks, sends one after the other, and records how long each
 * answer took. None of its chunks may be refused, its connection may not end, and its bets must be stored once and in
 * order: an agency that notices another's fault fails the test.
 */
import { deepStrictEqual, ok } from "node:assert/strict"
import { setTimeout } from "node:timers/promises"
import type { Central } from "../support/Central.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { sale } from "../support/Sales.ts"
import { Wire } from "../support/Wire.ts"

const chunkBets = 10

export class Bystander implements AsyncDisposable {
  readonly #central: Central
  readonly #id: number
  readonly #wire: Wire
  readonly #selling: Promise<void>
  #stopped = false
  #chunks = 0
  #slowestMs = 0

  private constructor(central: Central, id: number, wire: Wire) {
    this.#central = central
    this.#id = id
    this.#wire = wire
    this.#selling = this.#sell()
    // It is told when the bystander is asked how it went.
    this.#selling.catch(() => {})
  }

  static async start(central: Central, id: number): Promise<Bystander> {
    const bystander = new Bystander(central, id, await Wire.connect(central.betsPort))
    await central.waitUntil("the bystander's first answer", () => bystander.#chunks > 0)
    return bystander
  }

  /** Waits until that many more of its chunks were answered. */
  async progress(chunks: number): Promise<void> {
    const wanted = this.#chunks + chunks
    const selling = this.#selling.then(() => {
      throw new Error("the bystander stopped")
    })
    await Promise.race([
      this.#central.waitUntil("the bystander's progress", () => this.#chunks >= wanted),
      selling
    ])
  }

  /** Stops selling, and says how many chunks were answered and how long the slowest took. */
  async ended(): Promise<{ readonly chunks: number; readonly slowestMs: number }> {
    this.#stopped = true
    await this.#selling
    using ledger = new LedgerFile(this.#central.ledgerPath)
    const bets = Array.from({ length: this.#chunks * chunkBets }, (_, index) => this.#bet(index))
    deepStrictEqual(ledger.betsOf(this.#id), bets, "the bystander's bets, once and in order")
    return { chunks: this.#chunks, slowestMs: this.#slowestMs }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true
    this.#wire[Symbol.dispose]()
    await this.#selling.catch(() => {})
  }

  #bet(index: number): string {
    return sale(this.#id, index)
  }

  async #sell(): Promise<void> {
    while (!this.#stopped) {
      const seq = this.#chunks + 1
      const payload = Array.from(
        { length: chunkBets },
        (_, index) => this.#bet(this.#chunks * chunkBets + index)
      )
      const start = performance.now()
      const answer = await this.#wire.ask({ type_message: 1, agency: this.#id, seq, payload })
      this.#slowestMs = Math.max(this.#slowestMs, performance.now() - start)
      ok(answer["seq"] === seq && answer.type_message === 1, JSON.stringify(answer))
      this.#chunks++
      await setTimeout(2)
    }
  }
}
