/**
 * The children of the pool, and which of them gets which frame.
 *
 * Each child has a slot, and each slot a fiber. The fiber starts a child, gives it work, and waits for its end. It
 * starts another, after a backoff, if the pool needs one. There are twice as many slots as children are configured, so
 * there are never more children than that: beside each there is room for one that takes its place.
 *
 * A child that has just started tries the suspects (ParserBacklog.ts), one at a time and with nothing else in it, before
 * it takes frames as they come; the other children go on undisturbed. A suspect that takes long may be the one that
 * hangs, so the others don't wait for it: one more child is started for them.
 *
 * A child that has outgrown its memory goes on until its replacement is ready.
 */
import { Effect, Exit, Latch, Schedule, Scope } from "effect"
import { invariant } from "../../domain/Invariant.ts"
import { backoff } from "../base/Backoff.ts"
import type { RootKeeper } from "../base/Keeper.ts"
import { ParserBacklog } from "./ParserBacklog.ts"
import { ParserChild, type ParserChildFailed } from "./ParserChild.ts"
import type { Job, ParserProblem } from "./ParserLink.ts"

export interface ParserPoolOptions {
  readonly processes: number
  readonly startDeadlineMs: number
  readonly chunkDeadlineMs: number
  readonly restartFirstMs: number
  readonly restartMaxMs: number
  readonly memoryMb: number
  /** The program of the children. */
  readonly entry: URL
  readonly keeper: RootKeeper
}

/** What the pool reports of its children. */
export interface ParserPoolReports {
  /** One that worked is replaced. */
  readonly onReplaced: (problem: ParserProblem) => void
  /** One could not be started; it is tried again. */
  readonly onNotStarted: (problem: ParserProblem) => void
  /** No frame can be parsed, since no child can be started; undefined when there is one again. */
  readonly onTrouble: (problem: ParserProblem | undefined) => void
}

/** When a suspect takes longer than this, the others don't wait for it. Usual frames take a millisecond. */
const suspectMs = 500

/**
 * - empty: no child is wanted here
 * - starting: a child is being started, or will be after the backoff
 * - trying: the child has one suspect and nothing else
 * - serving: the child takes frames as they come
 * - ending: the child takes no more frames, or has ended
 */
type SlotState = "empty" | "starting" | "trying" | "serving" | "ending"

interface Slot {
  state: SlotState
  /** From the fork to the exit. */
  child: ParserChild | undefined
  /** Open unless the slot is empty. */
  readonly wanted: Latch.Latch
  /** Opens when the slot's first child is ready, or could not be started. */
  readonly tried: Latch.Latch
  /** Opens when the child that serves is to leave. */
  readonly dismissed: Latch.Latch
}

const emptySlot = (): Slot => ({
  state: "empty",
  child: undefined,
  wanted: Latch.makeUnsafe(),
  tried: Latch.makeUnsafe(),
  dismissed: Latch.makeUnsafe()
})

export class ParserPool {
  readonly #options: ParserPoolOptions
  readonly #reports: ParserPoolReports
  readonly #slots: ReadonlyArray<Slot>
  /** The children that a frame may be given to: those of the slots that serve. */
  readonly #serving = new Set<ParserChild>()
  readonly #backlog = new ParserBacklog()
  /** Of the slots' fibers. They end at the same time, so that children that hang delay the end once and not each. */
  readonly #scope = Scope.makeUnsafe("parallel")
  #inTrouble = false
  #closed = false

  constructor(options: ParserPoolOptions, reports: ParserPoolReports) {
    this.#options = options
    this.#reports = reports
    this.#slots = Array.from({ length: 2 * options.processes }, emptySlot)
  }

  /** Starts the children, and doesn't wait until they are {@link started}. */
  get start(): Effect.Effect<void> {
    return Effect.suspend(() => {
      for (let child = 0; child < this.#options.processes; child++) this.#startAnother()
      return Effect.forEach(
        this.#slots,
        (slot) => this.#options.keeper.loop("parsers", this.#fill(slot)),
        { discard: true }
      )
    }).pipe(Scope.provide(this.#scope))
  }

  /** Waits until each of the first children is ready, or could not be started. */
  get started(): Effect.Effect<void> {
    const first = this.#slots.slice(0, this.#options.processes)
    return Effect.forEach(first, ({ tried }) => tried.await, { discard: true })
  }

  /** Ends the children. Frames without an answer are not parsed any more. */
  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#closed = true
      this.#backlog.close()
      return Scope.close(this.#scope, Exit.void)
    })
  }

  pids(): ReadonlyArray<number> {
    return this.#slots.flatMap(({ child }) => child?.pid ?? [])
  }

  kill(): void {
    for (const { child } of this.#slots) child?.kill()
  }

  submit(job: Job): void {
    const child = this.#nextChild()
    if (child === undefined) this.#backlog.wait(job)
    else child.send(job)
  }

  /** The one whose write is being gathered, else the least busy. */
  #nextChild(): ParserChild | undefined {
    let best: ParserChild | undefined
    for (const child of this.#serving) {
      if (child.link.gathering) return child
      if (best === undefined || child.link.pending < best.link.pending) best = child
    }
    return best
  }

  /** Waits until a child is wanted in the slot, and starts one, and the next, for as long as it is. */
  #fill(slot: Slot): Effect.Effect<void> {
    const { restartFirstMs, restartMaxMs } = this.#options
    const filled = this.#runChild(slot).pipe(
      Effect.retry({
        schedule: backoff({ firstMs: restartFirstMs, maxMs: restartMaxMs }),
        while: ({ wasUsed }) => !wasUsed && this.#needsAnother(slot)
      }),
      // A child that fails while it is used says nothing of the next one: the backoff begins anew.
      Effect.retry({
        schedule: Schedule.spaced(restartFirstMs),
        while: ({ wasUsed }) => wasUsed && this.#needsAnother(slot)
      }),
      Effect.ignore
    )
    return slot.wanted.await.pipe(
      Effect.andThen(filled),
      Effect.ensuring(Effect.sync(() => this.#vacate(slot)))
    )
  }

  /** One child, from its start to its end. It fails, or it leaves because it isn't needed any more. */
  #runChild(slot: Slot): Effect.Effect<void, ParserChildFailed> {
    return Effect.scoped(Effect.gen({ self: this }, function*() {
      const child = yield* Effect.acquireRelease(
        this.#startChild(slot),
        (started) => this.#endChild(slot, started)
      )
      yield* child.ready
      this.#onReady(slot)
      yield* Effect.raceFirst(child.failure, this.#employ(slot, child))
    }))
  }

  #startChild(slot: Slot): Effect.Effect<ParserChild, ParserChildFailed> {
    return ParserChild.start({
      ...this.#options,
      onOutgrown: () => this.#onOutgrown(slot),
      onFailed: (problem, jobs) => this.#onFailed(slot, problem, jobs)
    }).pipe(
      Effect.tap((child) => Effect.sync(() => (slot.child = child))),
      Effect.tapError(({ problem }) => Effect.sync(() => this.#onFailed(slot, problem, [])))
    )
  }

  #endChild(slot: Slot, child: ParserChild): Effect.Effect<void> {
    return Effect.suspend(() => {
      slot.state = "ending"
      this.#serving.delete(child)
      this.#backlog.suspect("the parser was ended", child.close())
      return child.exit
    }).pipe(Effect.ensuring(Effect.sync(() => (slot.child = undefined))))
  }

  /** Gives the child work for as long as it is needed: suspects first, then frames as they come. */
  #employ(slot: Slot, child: ParserChild): Effect.Effect<void> {
    const answered = Effect.timeoutOrElse(child.idle, {
      duration: suspectMs,
      orElse: () => {
        this.#reinforce()
        return child.idle
      }
    })
    return Effect.gen({ self: this }, function*() {
      while (this.#giveSuspect(slot, child)) yield* answered
      if (this.#admit(slot, child)) yield* slot.dismissed.await
      slot.state = "ending"
      yield* child.idle
    })
  }

  #giveSuspect(slot: Slot, child: ParserChild): boolean {
    if (child.outgrown) return false
    invariant(child.link.pending === 0, "a suspect is alone in its child")
    const suspect = this.#backlog.takeSuspect()
    if (suspect === undefined) return false
    slot.state = "trying"
    child.send(suspect)
    return true
  }

  /** Lets the child take frames as they come: in a free place, or in that of a child that has outgrown its memory. */
  #admit(slot: Slot, child: ParserChild): boolean {
    if (child.outgrown) return false
    if (this.#serving.size === this.#options.processes && !this.#dismissOutgrown()) return false
    slot.state = "serving"
    slot.dismissed.closeUnsafe()
    this.#serving.add(child)
    invariant(
      this.#serving.size <= this.#options.processes,
      "no more children serve than configured"
    )
    for (const job of this.#backlog.takeWaiting()) child.send(job)
    return true
  }

  #dismissOutgrown(): boolean {
    const slot = this.#slots.find(({ child, state }) => state === "serving" && child?.outgrown)
    if (slot?.child === undefined) return false
    this.#serving.delete(slot.child)
    slot.state = "ending"
    slot.dismissed.openUnsafe()
    return true
  }

  /** A suspect takes long: other suspects, and frames that came meanwhile, don't wait for it. */
  #reinforce(): void {
    const needed = this.#backlog.hasSuspects || this.#serving.size === 0
    if (needed && this.#count("starting") === 0) this.#startAnother()
  }

  /** Starts a child in an empty slot. If there is none, the next slot whose child ends gets one. */
  #startAnother(): void {
    const slot = this.#slots.find(({ state }) => state === "empty")
    if (slot === undefined) return
    slot.state = "starting"
    slot.wanted.openUnsafe()
  }

  #onReady(slot: Slot): void {
    slot.tried.openUnsafe()
    if (!this.#inTrouble) return
    this.#inTrouble = false
    this.#reports.onTrouble(undefined)
  }

  #onOutgrown(slot: Slot): void {
    if (this.#closed || slot.state === "ending") return
    this.#reports.onReplaced("the parser had outgrown its memory")
    this.#startAnother()
  }

  #onFailed(slot: Slot, problem: ParserProblem, jobs: ReadonlyArray<Job>): void {
    const { child, state } = slot
    slot.state = "ending"
    if (child !== undefined) this.#serving.delete(child)
    // One that was on its way out is not missed, and for one that has outgrown its memory another is on its way.
    if (!this.#closed && state !== "ending" && child?.outgrown !== true) {
      if (state === "starting") this.#onNotStarted(problem)
      else this.#reports.onReplaced(problem)
    }
    slot.tried.openUnsafe()
    this.#backlog.suspect(problem, jobs)
  }

  #onNotStarted(problem: ParserProblem): void {
    this.#reports.onNotStarted(problem)
    if (this.#count("serving") + this.#count("trying") > 0) return
    this.#inTrouble = true
    this.#reports.onTrouble(problem)
  }

  /** Whether the slot, whose child has failed, is to have another. If so, that one counts from now on. */
  #needsAnother(slot: Slot): boolean {
    const needed = this.#isShort()
    if (needed) slot.state = "starting"
    return needed
  }

  #vacate(slot: Slot): void {
    slot.state = "empty"
    slot.wanted.closeUnsafe()
    if (!this.#closed && this.#isShort()) this.#startAnother()
  }

  /** Whether fewer children work, or are about to, than are configured, or none tries the suspects. */
  #isShort(): boolean {
    const starting = this.#count("starting")
    const trying = this.#count("trying")
    const outgrown = this.#slots.filter(({ child, state }) =>
      (state === "trying" || state === "serving") && child?.outgrown
    )
    const working = trying + this.#count("serving") - outgrown.length
    return working + starting < this.#options.processes
      || (this.#backlog.hasSuspects && trying + starting === 0)
  }

  #count(state: SlotState): number {
    return this.#slots.filter((slot) => slot.state === state).length
  }
}
