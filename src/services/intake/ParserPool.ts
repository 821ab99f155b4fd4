/**
 * The children of the pool, and who gets which frame.
 *
 * A child writes its answers once a read, so when it dies or hangs with several frames in it, any of them may be the one
 * that did it. They are suspects, and are tried again alone, each with nothing else in the child, so that the next failure
 * names its frame; all others are answered. Two failures make the frame {@link ParserFailed}. The child that takes the
 * failed one's place does this before it takes frames as they come; the others of the pool go on undisturbed. A suspect
 * that takes long, which may be the one that hangs, isn't waited for: one more child takes the other suspects.
 *
 * There are never more than twice as many children as configured: a child that has outgrown its memory goes on until its
 * replacement answers, and so does one that is held up by a suspect.
 */
import { Cause } from "effect"
import type { Parsed } from "../../domain/Chunk.ts"
import type { RootKeeper } from "../base/Keeper.ts"
import { ParserChild } from "./ParserChild.ts"

export type ParserProblem = string

export interface Job {
  readonly frame: Uint8Array
  /** Called once with what was parsed, or why nothing could be. */
  readonly done: (outcome: Parsed | ParserProblem) => void
  /** How many children failed with it in them. */
  failures: number
}

export interface PoolOptions {
  readonly processes: number
  readonly startDeadlineMs: number
  readonly chunkDeadlineMs: number
  readonly restartFirstMs: number
  readonly restartMaxMs: number
  readonly memoryMb: number
  readonly entry: URL
  readonly keeper: RootKeeper
}

/** What the pool tells of its children. */
export interface PoolReports {
  /** One that worked is replaced. */
  readonly onReplaced: (problem: string) => void
  /** One could not be had; it is tried again. */
  readonly onNotStarted: (problem: string) => void
  /** No frame can be parsed, since no child can be had; undefined when there is one again. */
  readonly onTrouble: (problem: string | undefined) => void
}

/** How often a frame may be in a child that fails. */
const failuresMax = 2

/** A suspect that takes longer than this isn't waited for by the others. Usual frames take a millisecond. */
const suspectMs = 500

type Child = ParserChild<Job>

const closed = "the parsers are closed"

export class ParserPool {
  readonly #options: PoolOptions
  readonly #reports: PoolReports
  /** Children that take frames as they come. */
  readonly #children = new Set<Child>()
  /** Children with one suspect each, and what looks after them when it takes long. */
  readonly #quarantine = new Map<Child, NodeJS.Timeout>()
  /** Children that have not answered yet, and are given nothing until they do. */
  readonly #starting = new Set<Child>()
  /** Children that asked to be replaced; in their place until there is another. */
  readonly #outgrown = new Set<Child>()
  /** Children that end once they have answered what they have. */
  readonly #retiring = new Set<Child>()
  readonly #restarts = new Set<NodeJS.Timeout>()
  /** Jobs without a child to go to, and suspects. Bounded by the workers: each waits for the turns it took. */
  readonly #waiting: Array<Job> = []
  readonly #suspects: Array<Job> = []
  #backoffMs: number
  #inTrouble = false
  #stopping = false

  constructor(options: PoolOptions, reports: PoolReports) {
    this.#options = options
    this.#reports = reports
    this.#backoffMs = options.restartFirstMs
  }

  /** Starts the children and waits until each has answered once, or has failed to. */
  async start(): Promise<void> {
    await Promise.all(Array.from({ length: this.#options.processes }, () => this.#launch()))
  }

  pids(): ReadonlyArray<number> {
    return this.#all().flatMap((child) => (child.pid === undefined ? [] : [child.pid]))
  }

  submit(job: Job): void {
    const child = this.#nextChild()
    if (child !== undefined) child.send(job)
    else if (this.#stopping) job.done(closed)
    else this.#waiting.push(job)
  }

  async stop(): Promise<void> {
    this.#stopping = true
    for (const timer of [...this.#restarts, ...this.#quarantine.values()]) clearTimeout(timer)
    this.#restarts.clear()
    for (const job of [...this.#waiting.splice(0), ...this.#suspects.splice(0)]) {
      job.done(closed)
    }
    await Promise.all(this.#all().map((child) => child.stop()))
  }

  kill(): void {
    for (const child of this.#all()) child.kill()
  }

  #all(): ReadonlyArray<Child> {
    return [
      ...this.#children,
      ...this.#quarantine.keys(),
      ...this.#starting,
      ...this.#retiring
    ]
  }

  /** The one whose write is being gathered, else the least busy. */
  #nextChild(): Child | undefined {
    let best: Child | undefined
    for (const child of this.#children) {
      if (child.gathering) return child
      if (best === undefined || child.pending < best.pending) best = child
    }
    return best
  }

  async #launch(): Promise<void> {
    const { chunkDeadlineMs, entry, keeper, memoryMb, startDeadlineMs } = this.#options
    const child: Child = new ParserChild<Job>({
      entry,
      startDeadlineMs,
      deadlineMs: chunkDeadlineMs,
      memoryMb,
      onParsed: (job, parsed) => this.#onParsed(child, job, parsed),
      onFailed: (problem, jobs) => this.#kept(() => this.#onFailed(child, problem, jobs))(),
      onDefect: (defect) => {
        keeper.restarts("parsers", Cause.die(defect))
      },
      onOutgrown: () => this.#onOutgrown(child)
    })
    this.#starting.add(child)
    await child.answering
    if (this.#starting.has(child) && !this.#stopping) this.#kept(() => this.#assign(child))()
  }

  #kept(body: () => void): () => void {
    return this.#options.keeper.forAll("parsers", body)
  }

  /** Finds work for a child that has none: suspects first, then a place in the pool. */
  #assign(child: Child): void {
    clearTimeout(this.#quarantine.get(child))
    this.#quarantine.delete(child)
    this.#starting.delete(child)
    if (this.#outgrown.delete(child)) return void this.#retire(child)
    if (this.#inTrouble) {
      this.#inTrouble = false
      this.#reports.onTrouble(undefined)
    }
    const suspect = this.#suspects.shift()
    if (suspect !== undefined) {
      this.#quarantine.set(child, setTimeout(this.#kept(() => this.#reinforce()), suspectMs))
      return child.send(suspect)
    }
    if (this.#children.size >= this.#options.processes) {
      const outgrown = [...this.#children].find((one) => this.#outgrown.has(one))
      if (outgrown === undefined) return void this.#retire(child)
      this.#outgrown.delete(outgrown)
      void this.#retire(outgrown)
    }
    this.#children.add(child)
    for (const job of this.#waiting.splice(0)) child.send(job)
  }

  async #retire(child: Child): Promise<void> {
    this.#children.delete(child)
    this.#retiring.add(child)
    await child.retire()
    this.#retiring.delete(child)
  }

  /** A suspect takes long: others, and frames that came meanwhile, are not to wait for it. */
  #reinforce(): void {
    const needed = this.#suspects.length > 0 || this.#children.size === 0
    const coming = this.#starting.size + this.#restarts.size > 0
    const full = this.#all().length >= 2 * this.#options.processes
    if (needed && !coming && !full) void this.#launch()
  }

  #onParsed(child: Child, job: Job, parsed: Parsed): void {
    this.#backoffMs = this.#options.restartFirstMs
    job.done(parsed)
    if (this.#quarantine.has(child) && !this.#stopping) this.#assign(child)
  }

  #onOutgrown(child: Child): void {
    if (this.#stopping || this.#retiring.has(child) || this.#outgrown.has(child)) return
    this.#outgrown.add(child)
    this.#reports.onReplaced("the parser had outgrown its memory")
    void this.#launch()
  }

  #onFailed(child: Child, problem: string, jobs: ReadonlyArray<Job>): void {
    const hasReplacement = this.#outgrown.has(child) || this.#retiring.has(child)
    const wasStarting = this.#starting.has(child)
    clearTimeout(this.#quarantine.get(child))
    for (const set of [this.#children, this.#quarantine, this.#starting, this.#outgrown]) {
      set.delete(child)
    }
    if (!hasReplacement && !this.#stopping) this.#report(problem, wasStarting)
    for (const job of jobs) {
      job.failures++
      if (job.failures < failuresMax && !this.#stopping) this.#suspects.push(job)
      else job.done(problem)
    }
    if (this.#stopping) return
    // One that dies of what it was given says nothing of the next; one that dies by itself does.
    const delayMs = jobs.length > 0 ? this.#options.restartFirstMs : this.#backoffMs
    if (jobs.length === 0) {
      this.#backoffMs = Math.min(2 * this.#backoffMs, this.#options.restartMaxMs)
    }
    const coming = this.#starting.size + this.#restarts.size
    const present = this.#children.size + this.#quarantine.size - this.#outgrown.size
    const unattended = this.#suspects.length > 0 && this.#quarantine.size + coming === 0
    if (present + coming < this.#options.processes || unattended) this.#launchAfter(delayMs)
  }

  #report(problem: string, wasStarting: boolean): void {
    if (!wasStarting) return this.#reports.onReplaced(problem)
    this.#reports.onNotStarted(problem)
    if (this.#children.size + this.#quarantine.size > 0) return
    this.#inTrouble = true
    this.#reports.onTrouble(problem)
  }

  #launchAfter(delayMs: number): void {
    const begin = this.#kept(() => {
      this.#restarts.delete(timer)
      void this.#launch()
    })
    const timer = setTimeout(begin, delayMs)
    this.#restarts.add(timer)
  }
}
