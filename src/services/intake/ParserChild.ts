/**
 * One parser child: its process, its pipe, and the jobs in it, in order. The child answers in order, but some frames at
 * once: of the jobs without an answer any may be the one in its hands. It fails at most once and then is done: killed,
 * its jobs given back.
 */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { getCompileCacheDir } from "node:module"
import { Duplex } from "node:stream"
import type { Parsed } from "../../domain/Chunk.ts"
import { FrameDecoder } from "../../domain/Frame.ts"
import {
  decodeNotice,
  decodeResponse,
  encodeRequest,
  idAfter,
  type Notice,
  RequestBatch,
  responseBytesMax
} from "../../parser/ParserPipe.ts"
import { startProblem } from "../base/Processes.ts"

/** How long a child may take to leave after its pipe was closed. */
const stopMs = 1000

const childEnvironment = (): NodeJS.ProcessEnv => {
  const directory = getCompileCacheDir()
  return directory === undefined ? {} : { NODE_COMPILE_CACHE: directory }
}

const couldNotStart = (error: unknown): string =>
  `the parser could not be started (${startProblem(error)})`

/** Beyond this a further frame is better parsed by another child at the same time. */
const gatheredBytesMax = 32 * 1024

/** A frame from this length on is written where it is. */
const copiedBytesMax = 16 * 1024
/** What the frames of a turn usually take. */
const batchBytes = 16 * 1024

export interface ParserChildOptions<Job extends { readonly frame: Uint8Array }> {
  /** The child's program: src/parser.ts, or one that speaks as it does. */
  readonly entry: URL
  /** Until it is ready. */
  readonly startDeadlineMs: number
  /** From one answer to the next, while it has jobs. */
  readonly deadlineMs: number
  /** Told of a throw of ours in a callback of the child; it fails then. */
  readonly onDefect: (defect: unknown) => void
  /** What its heap may take at most; and when all of it takes more, the child asks to be replaced. */
  readonly memoryMb: number
  readonly onParsed: (job: Job, parsed: Parsed) => void
  /** Once, with the jobs that weren't answered, oldest first. */
  readonly onFailed: (problem: string, jobs: ReadonlyArray<Job>) => void
  /** Once at most: the child asks to be replaced, and goes on meanwhile. */
  readonly onOutgrown: () => void
}

export class ParserChild<Job extends { readonly frame: Uint8Array }> {
  readonly #options: ParserChildOptions<Job>
  /** Neither is there where no process could be had. */
  #process: ChildProcess | undefined
  #pipe: Duplex | undefined
  readonly #decoder = new FrameDecoder()
  /** Oldest first. Not a Map: the tables that one leaves behind as it turns over keep dead jobs alive for V8. */
  readonly #jobs: Array<Job> = []
  #exited: Promise<unknown> = Promise.resolve()
  /** Settles when the child is ready, or has failed. */
  readonly answering: Promise<void>
  #onAnswering: () => void = () => {}
  #nextId = 0
  #oldestId = 0
  #isReady = false
  #whenIdle: (() => void) | undefined
  #batch = new RequestBatch(batchBytes)
  /** Bytes to write that came in this turn of the event loop. */
  #gathered = 0
  #over = false
  /** Runs while jobs are in the child; restarted by each answer, so it measures the job in hand. */
  #deadline: NodeJS.Timeout | undefined

  readonly #onDeadline = this.#kept(() => this.#expire())
  readonly #flushSoon = this.#kept(() => this.#flush())

  constructor(options: ParserChildOptions<Job>) {
    this.#options = options
    this.answering = new Promise((resolve) => {
      this.#onAnswering = resolve
    })
    this.#deadline = setTimeout(this.#onDeadline, options.startDeadlineMs)
    try {
      this.#start()
    } catch (error) {
      // Told later, as everything else: the caller doesn't have the child yet.
      process.nextTick(this.#kept(() => this.#fail(couldNotStart(error))))
    }
  }

  #start(): void {
    const { entry, memoryMb } = this.#options
    const child = fork(entry, [String(memoryMb)], {
      stdio: ["ignore", "ignore", "inherit", "pipe", "ipc"],
      // The child needs nothing of our environment but where compiled code is kept.
      env: childEnvironment(),
      execArgv: [`--max-old-space-size=${memoryMb}`]
    })
    this.#process = child
    // First of all: without descriptors there is a process object that has nothing but this event to give.
    child.on("error", this.#kept((error: Error) => this.#fail(couldNotStart(error))))
    child.on(
      "exit",
      this.#kept(() =>
        this.#fail(`the parser ended with ${child.signalCode ?? `code ${child.exitCode}`}`)
      )
    )
    if (child.pid === undefined) return
    this.#exited = once(child, "exit").catch(() => undefined)
    const pipe = child.stdio[3]
    if (!(pipe instanceof Duplex)) throw new Error("fork gave no duplex pipe as fd 3")
    this.#pipe = pipe
    pipe.on("data", this.#kept((bytes: Buffer) => this.#onBytes(bytes)))
    pipe.on("error", this.#kept(() => this.#fail("the parser's pipe broke")))
    pipe.on("close", this.#kept(() => this.#fail("the parser closed its pipe")))
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** Whether a write is being gathered that isn't yet worth one of its own: waking a child costs more than a frame. */
  get gathering(): boolean {
    return this.#gathered > 0 && this.#gathered < gatheredBytesMax
  }

  get pending(): number {
    return this.#jobs.length
  }

  /** Not before it is {@link answering}. */
  send(job: Job): void {
    if (this.#jobs.length === 0) {
      this.#deadline ??= setTimeout(this.#onDeadline, this.#options.deadlineMs)
    }
    this.#jobs.push(job)
    this.#write(this.#nextId, job.frame)
    this.#nextId = idAfter(this.#nextId)
  }

  /** Stops once it has answered what it was given, or has failed. */
  async retire(): Promise<void> {
    if (this.#jobs.length > 0 && !this.#over) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve
      })
    }
    return this.stop()
  }

  /** Closes the pipe, whose end the child takes as its own; kills it if it doesn't. */
  async stop(): Promise<void> {
    this.#over = true
    clearTimeout(this.#deadline)
    this.#pipe?.end()
    const timer = setTimeout(() => this.kill(), stopMs)
    await this.#exited
    clearTimeout(timer)
  }

  kill(): void {
    this.#process?.kill("SIGKILL")
  }

  /** Frames of one turn of the event loop go out in one write, short ones in one piece: a piece costs more than a copy. */
  #write(id: number, frame: Uint8Array): void {
    const pipe = this.#pipe
    if (pipe === undefined) return
    if (this.#gathered === 0) {
      pipe.cork()
      process.nextTick(this.#flushSoon)
    }
    this.#gathered += frame.length
    if (frame.length < copiedBytesMax) return this.#batch.add(id, frame)
    if (this.#batch.length > 0) {
      pipe.write(this.#batch.take())
      this.#batch = new RequestBatch(batchBytes)
    }
    for (const piece of encodeRequest(id, frame)) pipe.write(piece)
  }

  #flush(): void {
    const pipe = this.#pipe
    if (pipe === undefined) return
    this.#gathered = 0
    if (this.#batch.length > 0) pipe.write(this.#batch.take())
    pipe.uncork()
    // What the pipe didn't take at once it reads later.
    if (pipe.writableLength > 0) this.#batch = new RequestBatch(batchBytes)
  }

  #onBytes(bytes: Buffer): void {
    this.#decoder.push(bytes)
    while (!this.#over) {
      const step = this.#decoder.next()
      if (step._tag === "Starved") return
      if (step._tag === "Announced") {
        if (step.bytes > responseBytesMax) {
          return this.#fail("the parser announced too long an answer")
        }
        this.#decoder.accept()
      } else this.#onResponse(step.body)
    }
  }

  #onResponse(record: Uint8Array): void {
    const notice = decodeNotice(record)
    if (notice !== undefined) return this.#onNotice(notice)
    const response = decodeResponse(record)
    if (response === undefined) return this.#fail("the parser answered garbage")
    const oldest = this.#jobs.shift()
    if (oldest === undefined) return this.#fail("the parser answered what it wasn't asked")
    if (response.id !== this.#oldestId) {
      this.#jobs.unshift(oldest)
      return this.#fail("the parser answered out of order")
    }
    this.#oldestId = idAfter(this.#oldestId)
    this.#rearm()
    this.#options.onParsed(oldest, response.parsed)
    if (this.#jobs.length === 0) this.#whenIdle?.()
  }

  #onNotice(notice: Notice): void {
    if (notice === "Outgrown") return this.#options.onOutgrown()
    this.#isReady = true
    this.#onAnswering()
    this.#rearm()
  }

  #rearm(): void {
    if (this.#jobs.length > 0) this.#deadline?.refresh()
    else {
      clearTimeout(this.#deadline)
      this.#deadline = undefined
    }
  }

  /** A callback by which Node calls us: a throw in it fails the child, whose jobs are tried once more. */
  #kept<A = void>(body: (value: A) => void): (value: A) => void {
    return (value) => {
      try {
        body(value)
      } catch (defect) {
        this.#options.onDefect(defect)
        this.#fail("a defect of the server broke off what came of the parser")
      }
    }
  }

  #expire(): void {
    this.#fail(
      this.#isReady ? "the parser did not answer in time" : "the parser did not start in time"
    )
  }

  #fail(problem: string): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#deadline)
    this.kill()
    this.#pipe?.destroy()
    this.#onAnswering()
    this.#options.onFailed(problem, this.#jobs.splice(0))
    this.#whenIdle?.()
  }
}
