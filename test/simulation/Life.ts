/**
 * One life of the central: the real services of `intakeLayer` over a simulated ledger, parser and network, from its start
 * to a shutdown in good order or a crash. Fibers run on a queue of this life and sleep on a test clock of its own, so
 * everything happens when the simulation decides, always in the same order. A crash discards the fibers: no finalizer
 * runs, as with kill -9. A life that is stopped (SIGSTOP) does nothing, and what comes to it waits; time goes on.
 */
import {
  Cause,
  Clock,
  Context,
  Duration,
  Effect,
  Exit,
  Layer,
  MutableList,
  Scheduler,
  Scope
} from "effect"
import { TestClock } from "effect/testing"
import { Keeper } from "../../src/services/base/Keeper.ts"
import { Lifetime } from "../../src/services/base/Lifetime.ts"
import type { LogLevel } from "../../src/services/base/LogLevel.ts"
import { type Details, LogWriter, OperatorLog } from "../../src/services/base/OperatorLog.ts"
import { Settings, type SettingsShape } from "../../src/services/base/Settings.ts"
import type { Connection, Door, Transport } from "../../src/services/intake/Connection.ts"
import { Connections } from "../../src/services/intake/Connections.ts"
import { LedgerUnavailable } from "../../src/services/ledger/BetLedger.ts"
import { intakeLayer } from "../../src/services/Server.ts"
import type { LedgerLife } from "./SimulatedLedger.ts"
import type { ParserLife } from "./SimulatedParser.ts"
import type { Timeline } from "./Timeline.ts"

type LogObserver = (
  level: LogLevel,
  action: string,
  result: string,
  details: Details | undefined
) => void

/** Nothing is written: the real one would start timers of the real clock. */
class ObservedLog extends LogWriter {
  readonly #observer: LogObserver

  constructor(observer: LogObserver) {
    super({ level: "CRITICAL", format: "text", flushMs: 0 }, () => {})
    this.#observer = observer
  }

  override write(level: LogLevel, action: string, result: string, details?: Details): void {
    this.#observer(level, action, result, details)
  }
}

export interface LifeOptions {
  readonly timeline: Timeline
  readonly settings: SettingsShape
  readonly ledger: LedgerLife
  readonly parser: ParserLife
  readonly onLog: LogObserver
  /** The process was killed: nothing of this life happens any more. */
  readonly onKilled: () => void
  /** The ledger couldn't be opened: the process has ended. */
  readonly onStartFailed: () => void
  /** The server asks to be ended in good order. */
  readonly onDone: () => void
}

/** More tasks than this without time passing are a loop. */
const tasksMax = 200_000

export class Life {
  readonly #timeline: Timeline
  readonly #options: LifeOptions
  readonly #tasks: Array<() => void> = []
  readonly #scope = Scope.makeUnsafe()
  readonly #context: Context.Context<never>
  readonly #clock: TestClock.TestClock
  #connections: Connections["Service"] | undefined
  readonly #begun: number
  #crashAfterTasks: number | undefined
  #state: "starting" | "serving" | "closing" | "ended" = "starting"
  /** What has come to a stopped process. */
  #held: Array<() => void> | undefined

  constructor(options: LifeOptions) {
    this.#options = options
    this.#timeline = options.timeline
    this.#begun = options.timeline.now
    const scheduler = new Scheduler.MixedScheduler("async", (task) => {
      this.#tasks.push(task)
      return () => {
        const at = this.#tasks.indexOf(task)
        if (at !== -1) this.#tasks.splice(at, 1)
      }
    })
    // What the test clock takes for the real one: time outside of the simulation doesn't exist.
    const stopped = { ...this.#runNow(Context.empty(), Clock.clockWith(Effect.succeed)) }
    const testing = this.#runNow(
      Context.make(Scheduler.Scheduler, scheduler).pipe(
        Context.add(Clock.Clock, { ...stopped, sleep: () => Effect.never })
      ),
      Layer.buildWithScope(TestClock.layer(), this.#scope)
    )
    const clock = this.#runNow(testing, TestClock.testClockWith(Effect.succeed))
    this.#clock = clock
    // The timeline is told of every sleep, so that it stops exactly where one ends.
    this.#context = Context.add(testing, Clock.Clock, {
      ...clock,
      sleep: (duration) => {
        this.#timeline.after(Duration.toMillis(duration), () => this.deliver(() => {}))
        return clock.sleep(duration)
      }
    })
    const { onLog, ledger, parser, settings } = options
    const services = intakeLayer.pipe(
      Layer.provideMerge(Keeper.layer),
      Layer.provideMerge(Layer.mergeAll(ledger.layer, parser.layer)),
      Layer.provideMerge(Lifetime.layer),
      Layer.provideMerge(Layer.mergeAll(
        Layer.succeed(Settings, settings),
        Layer.succeed(OperatorLog, new ObservedLog(onLog))
      ))
    )
    const start = Effect.runForkWith(this.#context)(Layer.buildWithScope(services, this.#scope))
    start.addObserver((exit) => {
      if (this.ended) return
      if (Exit.isSuccess(exit)) return this.#serve(exit.value)
      this.#end()
      const problem = Cause.squash(exit.cause)
      if (problem instanceof LedgerUnavailable) return options.onStartFailed()
      this.#timeline.fail(`the server didn't start: ${Cause.pretty(exit.cause)}`)
    })
    this.#timeline.after(0, () => this.deliver(() => {}))
  }

  #serve(built: Context.Context<Connections | Lifetime>): void {
    this.#state = "serving"
    this.#connections = Context.get(built, Connections)
    this.#watch(Context.get(built, Lifetime).awaitEnd)
  }

  get serving(): boolean {
    return this.#state === "serving"
  }

  get ended(): boolean {
    return this.#state === "ended"
  }

  /** A new connection comes in. */
  accept(door: Door, transport: Transport): Connection {
    if (this.#connections === undefined) throw new Error("the server hasn't started")
    return this.#connections.open(door, transport)
  }

  get connections(): number {
    return this.#connections?.size() ?? 0
  }

  get turnsWaiting(): number {
    return this.#connections?.turns.messages.length ?? 0
  }

  get stopped(): boolean {
    return this.#held !== undefined
  }

  /** SIGSTOP. */
  stop(): void {
    this.#held ??= []
  }

  /** SIGCONT. All that has come meanwhile, and all that was due, is there at once. */
  continue(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const run of held) this.deliver(run)
  }

  /** Something comes to the process: its time goes on to the timeline's, and everything runs that is ready. */
  deliver(run: () => void): void {
    if (this.#held !== undefined) {
      this.#held.push(run)
      return
    }
    this.#proceed()
    if (this.ended) return
    run()
    this.#pump()
  }

  #proceed(): void {
    this.#checkTurns()
    this.#pump()
    const behind = this.#timeline.now - this.#begun - this.#clock.currentTimeMillisUnsafe()
    if (behind <= 0 || this.ended) return
    const fiber = Effect.runForkWith(this.#context)(this.#clock.adjust(behind))
    this.#pump()
    if (!this.ended && fiber.pollUnsafe() === undefined) this.#timeline.fail("time stands still")
  }

  /** As kill -9 at the given task of those to come; everything in memory is lost. */
  crashAfter(tasks: number): void {
    this.#crashAfterTasks = tasks
  }

  /** SIGTERM: the doors are closed, then everything in order. */
  shutdown(onClosed: () => void): void {
    if (!this.serving) return
    this.#state = "closing"
    const fiber = Effect.runForkWith(this.#context)(Scope.close(this.#scope, Exit.void))
    fiber.addObserver((exit) => {
      if (this.ended) return
      this.#end()
      if (Exit.isFailure(exit)) this.#timeline.fail(`the shutdown: ${Cause.pretty(exit.cause)}`)
      if (this.connections > 0) {
        this.#timeline.trace(`${this.connections} connections outlived the shutdown`)
      }
      onClosed()
    })
  }

  #watch(awaitEnd: Effect.Effect<void>): void {
    const fiber = Effect.runForkWith(this.#context)(awaitEnd)
    fiber.addObserver((exit) => {
      if (Exit.isFailure(exit)) {
        return this.#timeline.fail(`the server ended itself: ${Cause.pretty(exit.cause)}`)
      }
      this.#options.onDone()
    })
  }

  /** Runs an effect that nothing outside has to happen for. */
  #runNow<A, E, R>(context: Context.Context<R>, effect: Effect.Effect<A, E, R>): A {
    const fiber = Effect.runForkWith(context)(effect)
    this.#pump()
    const exit = fiber.pollUnsafe()
    if (exit === undefined) throw new Error("the server didn't start")
    if (Exit.isFailure(exit)) {
      throw new Error(`the server didn't start: ${Cause.pretty(exit.cause)}`)
    }
    return exit.value
  }

  #pump(): void {
    for (let count = 0; !this.ended; count++) {
      if (this.#crashAfterTasks !== undefined && this.#crashAfterTasks-- <= 0) return this.#die()
      const task = this.#tasks.shift()
      if (task === undefined) return
      if (count > tasksMax) {
        this.#timeline.fail("the services are busy without end")
        return this.#die()
      }
      task()
      this.#checkTurns()
    }
  }

  #end(): void {
    this.#state = "ended"
    this.#tasks.length = 0
  }

  #die(): void {
    this.#end()
    this.#options.onKilled()
  }

  #checkTurns(): void {
    const messages = this.#connections?.turns.messages
    if (messages === undefined || messages.length < 2) return
    const turns: ReadonlyArray<unknown> = MutableList.toArray(messages)
    if (new Set(turns).size < turns.length) {
      this.#timeline.fail("a connection is in the queue of turns twice")
    }
  }
}
