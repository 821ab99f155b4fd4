/**
 * The main thread's end of a ledger thread: it sends requests and matches the answers to them. If a thread ends by
 * itself, every request that waits for it, and every later one, dies. If it never began (no descriptor or thread was
 * left), requests fail as unavailable. Closing lets the thread finish what it was asked.
 */
import { Effect } from "effect"
import { getCompileCacheDir } from "node:module"
import { Worker } from "node:worker_threads"
import { invariant } from "../../../domain/Invariant.ts"
import { startProblem } from "../../base/Processes.ts"
import type { OperatingFailure } from "../sqlite/LedgerProblem.ts"
import type { Failed } from "../sqlite/ThreadMessages.ts"

export interface Message {
  readonly _tag: string
  readonly id: number
}

const isFailed = (message: Message): message is Failed => message._tag === "Failed"

interface Pending<Reply> {
  readonly id: number
  /** Undefined once nobody waits for the answer. */
  answer: ((effect: Effect.Effect<Reply, OperatingFailure>) => void) | undefined
}

/** How long a thread may take to finish what it was asked before it is terminated. */
const closeTimeout = "10 seconds"

const youngMb = 8

const reasonOf = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error)

const compileCache = () => {
  const folder = getCompileCacheDir()
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: folder }
}

export class LedgerThread<Request extends Message, Reply extends Message> {
  readonly #worker: Worker | undefined
  /**
   * Requests without an answer, oldest first. Usually the oldest is answered next, but the reader answers others in the
   * middle of a long digest. Not a Map: see ParserLink's jobs.
   */
  readonly #pending: Array<Pending<Reply>> = []
  readonly #onExit: Array<() => void> = []
  #lastId = 0
  #begun = false
  #ended: string | undefined

  constructor(entry: URL, config: unknown) {
    try {
      this.#worker = this.#start(entry, config)
    } catch (error) {
      this.#ended = startProblem(error)
    }
  }

  get ended(): boolean {
    return this.#ended !== undefined
  }

  #start(entry: URL, config: unknown): Worker {
    const worker = new Worker(entry, {
      workerData: config,
      // The flags of the process (a debugger's, a test runner's) are not for its threads.
      execArgv: [],
      // A thread doesn't take part in the process's compile cache by itself; with it, it needs 15 MB less.
      env: { ...process.env, ...compileCache() },
      // Rows are short-lived and outside V8's heap: young garbage that is collected late keeps tens of MB of them.
      resourceLimits: { maxYoungGenerationSizeMb: youngMb }
    })
    worker.on("online", () => {
      this.#begun = true
    })
    worker.on("message", (reply: Reply | Failed) => {
      try {
        this.#answer(reply)
      } catch (defect) {
        this.#end(reasonOf(defect))
      }
    })
    worker.on("messageerror", (error) => this.#end(reasonOf(error)))
    worker.on("error", (error) => this.#end(reasonOf(error)))
    worker.on("exit", (code) => this.#end(`it exited with code ${code}`))
    return worker
  }

  /** Sends a request made with a fresh id. `transfer` is moved to the thread. */
  call(
    make: (id: number) => Request,
    transfer: ReadonlyArray<ArrayBuffer> = []
  ): Effect.Effect<Reply, OperatingFailure> {
    return Effect.callback((resume) => {
      if (this.#ended !== undefined) return resume(this.#gone(this.#ended))
      const id = ++this.#lastId
      const pending: Pending<Reply> = { id, answer: resume }
      this.#pending.push(pending)
      this.#worker?.postMessage(make(id), transfer)
      return Effect.sync(() => {
        pending.answer = undefined
      })
    })
  }

  /** Sends the request that makes the thread end, and waits for the end. */
  close(make: (id: number) => Request): Effect.Effect<void> {
    return this.call(make).pipe(
      Effect.ignoreCause,
      Effect.andThen(Effect.callback<void>((resume) => {
        if (this.#ended !== undefined) return resume(Effect.void)
        this.#onExit.push(() => resume(Effect.void))
      })),
      Effect.timeoutOption(closeTimeout),
      Effect.andThen(Effect.promise(async () => this.#worker?.terminate())),
      Effect.asVoid
    )
  }

  #answer(reply: Reply | Failed): void {
    const place = this.#pending.findIndex(({ id }) => id === reply.id)
    const [answered] = this.#pending.splice(place, place === -1 ? 0 : 1)
    invariant(answered !== undefined, "a ledger thread answers each request once, and nothing else")
    const { answer } = answered
    if (answer === undefined) return
    if (!isFailed(reply)) return answer(Effect.succeed(reply))
    const { failure } = reply
    answer(
      failure.kind === "Defect" ? Effect.die(new Error(failure.message)) : Effect.fail(failure)
    )
  }

  #end(reason: string): void {
    this.#ended ??= reason
    for (const { answer } of this.#pending.splice(0)) {
      answer?.(this.#gone(reason))
    }
    for (const resume of this.#onExit) resume()
  }

  #gone(reason: string): Effect.Effect<never, OperatingFailure> {
    return this.#begun
      ? Effect.die(new Error(`the ledger's thread is gone: ${reason}`))
      : Effect.fail({
        kind: "Unavailable",
        message: `a thread can't be started: ${reason}`,
        code: undefined
      })
  }
}

/** For a thread that answers something else than it was asked. */
export const unexpectedReply = (reply: { readonly _tag: string }): Effect.Effect<never> =>
  Effect.die(new Error(`the ledger's thread answered ${reply._tag}`))
