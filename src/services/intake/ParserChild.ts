/**
 * One parser child: its process, from the fork to the exit, and the link to it. A child fails at most once. It is
 * killed at once then, and the frames that it didn't answer are given back.
 */
import { Cause, Deferred, Effect, Latch, Option, Schema } from "effect"
import { type ChildProcess, fork } from "node:child_process"
import { getCompileCacheDir } from "node:module"
import { Duplex } from "node:stream"
import { invariant } from "../../domain/Invariant.ts"
import type { Notice } from "../../parser/ParserPipe.ts"
import type { RootKeeper } from "../base/Keeper.ts"
import { startProblem } from "../base/Processes.ts"
import { type Job, ParserLink, type ParserProblem } from "./ParserLink.ts"

export class ParserChildFailed
  extends Schema.TaggedError<ParserChildFailed>()("ParserChildFailed", {
    problem: Schema.String,
    /** Whether it had been given frames. If it hadn't, the next child will probably fail as well. */
    wasUsed: Schema.Boolean
  })
{}

export interface ParserChildOptions {
  /** The child's program: src/parser.ts, or one that speaks as it does. */
  readonly entry: URL
  /** The bound of the child's heap. When all of the child takes more than this, it asks to be replaced. */
  readonly memoryMb: number
  /** How long the child may take from the fork until it is ready. */
  readonly startDeadlineMs: number
  /** How long the child may take from one answer to the next while it has frames. */
  readonly chunkDeadlineMs: number
  readonly keeper: RootKeeper
  /** Called once at most: the child asks to be replaced, and goes on meanwhile. */
  readonly onOutgrown: () => void
  /** Called once at most, with the frames that weren't answered, oldest first. */
  readonly onFailed: (problem: ParserProblem, jobs: ReadonlyArray<Job>) => void
}

/** How long a child may take to exit once its pipe was closed, and once it was killed. */
const exitMs = 1000

const childEnvironment = (): NodeJS.ProcessEnv => {
  const directory = getCompileCacheDir()
  return directory === undefined ? {} : { NODE_COMPILE_CACHE: directory }
}

const forkProcess = (
  { entry, memoryMb }: ParserChildOptions
): Effect.Effect<ChildProcess, ParserChildFailed> =>
  Effect.callback((resume) => {
    const onError = (error: unknown): void => {
      const problem = `the parser could not be started (${startProblem(error)})`
      resume(Effect.fail(new ParserChildFailed({ problem, wasUsed: false })))
    }
    try {
      const child = fork(entry, [String(memoryMb)], {
        stdio: ["ignore", "ignore", "inherit", "pipe", "ipc"],
        // All that the child needs of our environment is where compiled code is kept.
        env: childEnvironment(),
        execArgv: [`--max-old-space-size=${memoryMb}`]
      })
      // Without descriptors, what fork returns has neither a pid nor streams: there is nothing but this event.
      child.on("error", onError)
      if (child.pid !== undefined) resume(Effect.succeed(child))
    } catch (error) {
      onError(error)
    }
  })

export class ParserChild {
  readonly link: ParserLink
  readonly #options: ParserChildOptions
  readonly #process: ChildProcess
  readonly #pipe: Duplex
  readonly #ready = Latch.makeUnsafe()
  readonly #exited = Latch.makeUnsafe()
  readonly #failure = Deferred.makeUnsafe<never, ParserChildFailed>()
  #used = false
  #outgrown = false
  #over = false

  /** Whoever starts a child has to {@link close} it. */
  static start(options: ParserChildOptions): Effect.Effect<ParserChild, ParserChildFailed> {
    return Effect.map(forkProcess(options), (process) => new ParserChild(process, options))
  }

  private constructor(process: ChildProcess, options: ParserChildOptions) {
    const pipe = process.stdio[3]
    invariant(pipe instanceof Duplex, "fork gives a duplex pipe as fd 3")
    this.#options = options
    this.#process = process
    this.#pipe = pipe
    process.on(
      "error",
      this.#kept((error: Error) =>
        this.#fail(`the parser's process failed (${startProblem(error)})`)
      )
    )
    process.on("exit", this.#kept(() => this.#onExit()))
    this.link = new ParserLink({
      pipe,
      deadlineMs: options.chunkDeadlineMs,
      kept: (body) => this.#kept(body),
      onNotice: (notice) => this.#onNotice(notice),
      onBroken: (problem) => this.#fail(problem)
    })
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  /** Whether it takes more memory than it may. */
  get outgrown(): boolean {
    return this.#outgrown
  }

  /** Fails when the child does. */
  get failure(): Effect.Effect<never, ParserChildFailed> {
    return Deferred.await(this.#failure)
  }

  /** Ends when the child takes frames; a child that takes too long to get there fails. */
  get ready(): Effect.Effect<void, ParserChildFailed> {
    return Effect.raceFirst(this.#ready.await, this.failure).pipe(Effect.timeoutOrElse({
      duration: this.#options.startDeadlineMs,
      orElse: () => {
        this.#fail("the parser did not start in time")
        return this.failure
      }
    }))
  }

  /** Ends when every frame in the child is answered. */
  get idle(): Effect.Effect<void> {
    return Effect.callback((resume) => this.link.whenIdle(() => resume(Effect.void)))
  }

  send(job: Job): void {
    this.#used = true
    this.link.send(job)
  }

  kill(): void {
    this.#process.kill("SIGKILL")
  }

  /** Takes no more answers, and gives the frames that had none. The end of the pipe tells the child to exit. */
  close(): ReadonlyArray<Job> {
    this.#over = true
    this.#pipe.end()
    return this.link.close()
  }

  /** Ends when the process has exited. Kills it if it doesn't do so by itself. */
  get exit(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const exited = Effect.timeoutOption(this.#exited.await, exitMs)
      if (Option.isSome(yield* exited)) return
      this.kill()
      yield* exited
    })
  }

  #onNotice(notice: Notice): void {
    if (notice === "Ready") {
      this.#ready.openUnsafe()
    } else if (!this.#outgrown) {
      this.#outgrown = true
      this.#options.onOutgrown()
    }
  }

  #onExit(): void {
    this.#exited.openUnsafe()
    const { exitCode, signalCode } = this.#process
    this.#fail(`the parser ended with ${signalCode ?? `code ${exitCode}`}`)
  }

  #fail(problem: ParserProblem): void {
    if (this.#over) return
    const jobs = this.close()
    this.kill()
    this.#pipe.destroy()
    try {
      this.#options.onFailed(problem, jobs)
    } finally {
      const failed = new ParserChildFailed({ problem, wasUsed: this.#used })
      Deferred.doneUnsafe(this.#failure, Effect.fail(failed))
    }
  }

  /** A callback by which Node calls us. A throw in it fails the child, whose frames are tried once more. */
  #kept<A = void>(body: (value: A) => void): (value: A) => void {
    return (value) => {
      try {
        body(value)
      } catch (defect) {
        this.#options.keeper.restarts("parsers", Cause.die(defect))
        this.#fail("a defect of the server broke off what came of the parser")
      }
    }
  }
}
