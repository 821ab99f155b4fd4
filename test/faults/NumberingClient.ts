/** A client that numbers its chunks, and what tests of a ledger in trouble ask of a central. */
import { assert } from "@effect/vitest"
import { type Central, runMain } from "../support/Central.ts"
import { Wire, type WireAnswer } from "../support/Wire.ts"

export const chunkBets = 50

/** Numbers its chunks, and keeps how many were acknowledged. */
export class NumberingClient implements Disposable {
  readonly id: number
  readonly bets: ReadonlyArray<string>
  readonly #wire: Wire
  acknowledged = 0

  constructor(id: number, wire: Wire, bets: ReadonlyArray<string>) {
    this.id = id
    this.#wire = wire
    this.bets = bets
  }

  get chunks(): number {
    return Math.ceil(this.bets.length / chunkBets)
  }

  /** Sends its next chunk. */
  async send(): Promise<WireAnswer> {
    const seq = this.acknowledged + 1
    const payload = this.bets.slice((seq - 1) * chunkBets, seq * chunkBets)
    const type = seq === this.chunks ? 2 : 1
    const answer = await this.#wire.ask({ type_message: type, agency: this.id, seq, payload })
    if (answer.type_message === 1) this.acknowledged++
    return answer
  }

  [Symbol.dispose](): void {
    this.#wire[Symbol.dispose]()
  }
}

export const numberingClient = async (
  central: Central,
  id: number,
  bets: ReadonlyArray<string>
): Promise<NumberingClient> => new NumberingClient(id, await Wire.connect(central.betsPort), bets)

export const assertRefused = (answer: WireAnswer): void => {
  assert.include(answer, { type_message: 3, code: "LEDGER_UNAVAILABLE", payload: null })
  assert.isNumber(answer["retry_after_ms"])
}

export const health = (central: Central) =>
  runMain(["health", "--config", central.configPath], { OPS_PORT: String(central.operationsPort) })
