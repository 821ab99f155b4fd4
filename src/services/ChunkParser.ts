/**
 * The pool of parser children. It owns their processes and the pipes to them; it gives back what came of each frame,
 * or {@link ParserFailed}. A child that dies, hangs or answers garbage is killed and replaced; the frame that was in
 * its hands is tried once more elsewhere, the frames queued behind it are handed on without counting against them.
 * A child that outgrows its memory goes on until its replacement answers.
 *
 * The way there is a raw pipe (fd 3) with several frames per write: IPC messages cost three times the CPU.
 */
import { Context, Effect, Layer, Schema } from "effect"
import type { Parsed } from "../domain/Chunk.ts"
import { ParserChild } from "./ChunkParser/ParserChild.ts"
import { OperatorLog } from "./OperatorLog.ts"
import { Settings } from "./Settings.ts"

/** Two children in turn failed on the frame, or none could be had. */
export class ParserFailed extends Schema.TaggedError<ParserFailed>()("ParserFailed", {
  problem: Schema.String
}) {}

/** How often one frame may be in the hands of a child that fails. */
const attemptsMax = 2

/** What came of a frame. */
export type ParseOutcome = Parsed | ParserFailed

interface Job {
  readonly frame: Uint8Array
  readonly done: (outcome: ParseOutcome) => void
  failures: number
}

export class ChunkParser extends Context.Service<ChunkParser, {
  /**
   * Parses, validates and encodes frames of the bets port. `each`, which must not throw, is told what came of a frame,
   * and its index, as soon as that is known, and from then on nothing holds the frame; the effect ends after the last.
   */
  readonly parse: (
    holders: ReadonlyArray<{ readonly frame: Uint8Array }>,
    each: (outcome: ParseOutcome, index: number) => void
  ) => Effect.Effect<void>
  /** Process ids of the living children. */
  readonly pids: () => ReadonlyArray<number>
  /** Ends the children, once; the scope that owns the pool does so at the latest. */
  readonly close: Effect.Effect<void>
}>()("loteria-nacional/services/ChunkParser") {
  /** A pool of children that run another program. */
  static readonly layerOf = (entry: URL) =>
    Layer.effect(
      ChunkParser,
      Effect.gen(function*() {
        const { parsers } = yield* Settings
        const log = yield* OperatorLog
        const pool = new ParserPool(
          { ...parsers, entry },
          (problem) => log.write("WARNING", "parser_replaced", "success", { problem })
        )
        const close = yield* Effect.cached(
          Effect.promise(() => pool.stop()).pipe(
            Effect.andThen(
              Effect.sync(() =>
                log.write("INFO", "close_resource", "success", { resource: "parsers" })
              )
            )
          )
        )
        // A shutdown that is cut short ends the process without finalizers; a child that hangs would outlive it.
        const killAll = () => pool.kill()
        yield* Effect.acquireRelease(
          Effect.sync(() => process.on("exit", killAll)),
          () => Effect.sync(() => process.off("exit", killAll))
        )
        yield* Effect.acquireRelease(Effect.promise(() => pool.start()), () => close)
        return ChunkParser.of({
          pids: () => pool.pids(),
          close,
          parse: (holders, each) =>
            holders.length === 0 ? Effect.void : Effect.callback<void>((resume) => {
              let left = holders.length
              for (const [index, { frame }] of holders.entries()) {
                const done = (outcome: ParseOutcome) => {
                  each(outcome, index)
                  if (--left === 0) resume(Effect.void)
                }
                pool.submit({ frame, done, failures: 0 })
              }
            })
        })
      })
    )

  static readonly layer = ChunkParser.layerOf(new URL("../parser.ts", import.meta.url))
}

export interface PoolOptions {
  readonly processes: number
  readonly chunkDeadlineMs: number
  readonly restartFirstMs: number
  readonly restartMaxMs: number
  readonly memoryMb: number
  readonly entry: URL
}

class ParserPool {
  readonly #options: PoolOptions
  readonly #onReplaced: (problem: string) => void
  readonly #children = new Set<ParserChild<Job>>()
  /** Jobs without a child to go to. Bounded by the workers: each waits for the turns it took. */
  #waiting: Array<Job> = []
  #restarts = new Set<NodeJS.Timeout>()
  /** Children that asked to be replaced, until they have ended; in the rotation until their replacement answers. */
  readonly #outgrown = new Set<ParserChild<Job>>()
  #backoffMs: number
  #stopping = false

  constructor(options: PoolOptions, onReplaced: (problem: string) => void) {
    this.#options = options
    this.#onReplaced = onReplaced
    this.#backoffMs = options.restartFirstMs
  }

  /** Starts the children and waits until each has answered once, or has failed to. */
  async start(): Promise<void> {
    await Promise.all(Array.from({ length: this.#options.processes }, () => this.#launch()))
  }

  pids(): ReadonlyArray<number> {
    return [...this.#children, ...this.#outgrown]
      .flatMap((child) => (child.pid === undefined ? [] : [child.pid]))
  }

  submit(job: Job): void {
    const child = this.#nextChild()
    if (child !== undefined) child.send(job)
    else if (this.#stopping) this.#refuse(job, "the parsers are closed")
    else this.#waiting.push(job)
  }

  async stop(): Promise<void> {
    this.#stopping = true
    for (const timer of this.#restarts) clearTimeout(timer)
    this.#restarts.clear()
    for (const job of this.#waiting.splice(0)) this.#refuse(job, "the parsers are closed")
    const children = new Set([...this.#children, ...this.#outgrown])
    await Promise.all([...children].map((child) => child.stop()))
  }

  kill(): void {
    for (const child of [...this.#children, ...this.#outgrown]) child.kill()
  }

  #refuse(job: Job, problem: string): void {
    job.done(new ParserFailed({ problem }))
  }

  /** The one whose write is being gathered, else the least busy. */
  #nextChild(): ParserChild<Job> | undefined {
    let best: ParserChild<Job> | undefined
    for (const child of this.#children) {
      if (child.gathering) return child
      if (best === undefined || child.pending < best.pending) best = child
    }
    return best
  }

  async #launch(): Promise<void> {
    const child = new ParserChild<Job>({
      entry: this.#options.entry,
      deadlineMs: this.#options.chunkDeadlineMs,
      memoryMb: this.#options.memoryMb,
      onParsed: (job, parsed) => {
        this.#backoffMs = this.#options.restartFirstMs
        job.done(parsed)
      },
      onFailed: (problem, jobs) => this.#replace(child, problem, jobs),
      onOutgrown: () => void this.#relieve(child)
    })
    this.#children.add(child)
    for (const job of this.#waiting.splice(0)) child.send(job)
    await child.answering
  }

  async #relieve(child: ParserChild<Job>): Promise<void> {
    if (this.#stopping || !this.#children.has(child) || this.#outgrown.has(child)) return
    this.#outgrown.add(child)
    this.#onReplaced("the parser had outgrown its memory")
    await this.#launch()
    if (this.#stopping || !this.#children.delete(child)) return
    await child.retire()
    this.#outgrown.delete(child)
  }

  #replace(
    child: ParserChild<Job>,
    problem: string,
    [inHand, ...queued]: ReadonlyArray<Job>
  ): void {
    this.#children.delete(child)
    // One that asked to be replaced has its replacement already.
    if (!this.#stopping && !this.#outgrown.delete(child)) {
      this.#onReplaced(problem)
      const timer = setTimeout(() => {
        this.#restarts.delete(timer)
        void this.#launch()
      }, this.#backoffMs)
      this.#restarts.add(timer)
      this.#backoffMs = Math.min(2 * this.#backoffMs, this.#options.restartMaxMs)
    }
    for (const job of queued) this.submit(job)
    if (inHand === undefined) return
    inHand.failures++
    if (inHand.failures < attemptsMax) this.submit(inHand)
    else this.#refuse(inHand, problem)
  }
}
