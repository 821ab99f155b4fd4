/** A ledger thread that is replaced after it has ended, so that what it was asked can be tried again. */
import { Effect } from "effect"
import type { OperatingFailure } from "../sqlite/LedgerProblem.ts"
import { LedgerThread, type Message } from "./LedgerThread.ts"

/** A thread that has ended is replaced no sooner than this after it was started. */
const restartMs = 100

export class ReplacedThread<Request extends Message, Reply extends Message> {
  readonly #start: () => LedgerThread<Request, Reply>
  readonly #closing: (id: number) => Request
  #thread: LedgerThread<Request, Reply>
  #startedAt: number

  /** The thread starts at once: by the time it is needed there may be no descriptor left to start it with. */
  constructor(entry: URL, config: unknown, closing: (id: number) => Request) {
    this.#start = () => new LedgerThread<Request, Reply>(entry, config)
    this.#closing = closing
    this.#thread = this.#start()
    this.#startedAt = performance.now()
  }

  call(request: (id: number) => Request): Effect.Effect<Reply, OperatingFailure> {
    return Effect.suspend(() => {
      if (this.#thread.ended && performance.now() - this.#startedAt >= restartMs) {
        this.#thread = this.#start()
        this.#startedAt = performance.now()
      }
      return this.#thread.call(request)
    })
  }

  readonly close: Effect.Effect<void> = Effect.suspend(() => this.#thread.close(this.#closing))
}
