/**
 * The server's end of the pipe to one parser child. It writes frames, reads the answers, and knows which frames are in
 * the child. Every frame passes here, so this is plain code: no fiber and no promise per frame.
 *
 * The child answers in order, but writes the answers to all frames of one read together. So any of the frames without
 * an answer may be the one that it works on, not just the oldest.
 */
import type { Duplex } from "node:stream"
import type { Parsed } from "../../domain/Chunk.ts"
import { FrameDecoder } from "../../domain/Frame.ts"
import { invariant } from "../../domain/Invariant.ts"
import {
  decodeNotice,
  decodeResponse,
  encodeRequest,
  idAfter,
  type Notice,
  RequestBatch,
  responseBytesMax
} from "../../parser/ParserPipe.ts"

/** A frame to be parsed. */
export interface Job {
  readonly frame: Uint8Array
  /** Called once, with what was parsed, or with the problem for which nothing could be. */
  readonly done: (outcome: Parsed | ParserProblem) => void
  /** How many children have failed with it in them. */
  failures: number
}

export type ParserProblem = string

export interface ParserLinkOptions {
  readonly pipe: Duplex
  /** How long the child may take from one answer to the next while it has frames. */
  readonly deadlineMs: number
  /** Makes a callback safe for Node to call. */
  readonly kept: <A = void>(body: (value: A) => void) => (value: A) => void
  readonly onNotice: (notice: Notice) => void
  /** The child can't be used any more. */
  readonly onBroken: (problem: ParserProblem) => void
}

/** When so much is gathered for one write, a further frame is better parsed by another child at the same time. */
const gatheredBytesMax = 32 * 1024

/** A frame from this length on is written from where it is; a shorter one is copied into a batch. */
const copiedBytesMax = 16 * 1024
/** What the frames of one turn of the event loop usually take. */
const batchBytes = 16 * 1024

export class ParserLink {
  readonly #options: ParserLinkOptions
  readonly #decoder = new FrameDecoder()
  /** In the child, oldest first. Not a Map: as a Map turns over, its discarded tables keep dead jobs alive in V8. */
  readonly #jobs: Array<Job> = []
  #oldestId = 0
  #nextId = 0
  #batch = new RequestBatch(batchBytes)
  /** Bytes to be written that came in this turn of the event loop. */
  #gathered = 0
  #closed = false
  #onIdle: (() => void) | undefined
  /** A timer and not a fiber, since each answer restarts it: it measures the frame that the child works on. */
  #deadline: NodeJS.Timeout | undefined

  readonly #flushSoon: () => void
  readonly #onDeadline: () => void

  constructor(options: ParserLinkOptions) {
    const { kept, onBroken, pipe } = options
    this.#options = options
    this.#flushSoon = kept(() => this.#flush())
    this.#onDeadline = kept(() => onBroken("the parser did not answer in time"))
    pipe.on("data", kept((bytes: Buffer) => this.#onBytes(bytes)))
    pipe.on("error", kept(() => onBroken("the parser's pipe broke")))
    pipe.on("close", kept(() => onBroken("the parser closed its pipe")))
  }

  /** Whether a write is being gathered that can take another frame: waking a child costs more than a frame does. */
  get gathering(): boolean {
    return this.#gathered > 0 && this.#gathered < gatheredBytesMax
  }

  /** How many frames are in the child. */
  get pending(): number {
    return this.#jobs.length
  }

  send(job: Job): void {
    invariant(!this.#closed, "no frame goes to a child that has failed or was told to leave")
    const id = this.#nextId
    this.#nextId = idAfter(id)
    if (this.#jobs.length === 0) {
      this.#deadline ??= setTimeout(this.#onDeadline, this.#options.deadlineMs)
    }
    this.#jobs.push(job)
    this.#write(id, job.frame)
  }

  /** Calls once every frame is answered; at once if there is none. */
  whenIdle(idle: () => void): void {
    if (this.#jobs.length === 0) idle()
    else this.#onIdle = idle
  }

  /** Neither writes nor reads any more. Gives the frames without an answer, oldest first. */
  close(): ReadonlyArray<Job> {
    this.#closed = true
    clearTimeout(this.#deadline)
    return this.#jobs.splice(0)
  }

  /** The frames of one turn of the event loop are written at once, short ones in one piece: a piece costs more than a copy. */
  #write(id: number, frame: Uint8Array): void {
    const { pipe } = this.#options
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
    if (this.#closed) return
    const { pipe } = this.#options
    this.#gathered = 0
    if (this.#batch.length > 0) pipe.write(this.#batch.take())
    pipe.uncork()
    // The pipe still reads what it didn't take at once, so that memory isn't used again.
    if (pipe.writableLength > 0) this.#batch = new RequestBatch(batchBytes)
  }

  #onBytes(bytes: Buffer): void {
    this.#decoder.push(bytes)
    while (!this.#closed) {
      const step = this.#decoder.next()
      if (step._tag === "Starved") return
      if (step._tag === "Frame") this.#onRecord(step.body)
      else if (step.bytes <= responseBytesMax) this.#decoder.accept()
      else return this.#options.onBroken("the parser announced too long an answer")
    }
  }

  #onRecord(record: Uint8Array): void {
    const { onBroken, onNotice } = this.#options
    const notice = decodeNotice(record)
    if (notice !== undefined) return onNotice(notice)
    const response = decodeResponse(record)
    if (response === undefined) return onBroken("the parser answered garbage")
    const oldest = this.#jobs[0]
    if (oldest === undefined) return onBroken("the parser answered what it wasn't asked")
    if (response.id !== this.#oldestId) return onBroken("the parser answered out of order")
    this.#jobs.shift()
    this.#oldestId = idAfter(this.#oldestId)
    this.#restartDeadline()
    oldest.done(response.parsed)
    if (this.#jobs.length === 0) this.#becomeIdle()
  }

  #restartDeadline(): void {
    if (this.#jobs.length > 0) this.#deadline?.refresh()
    else {
      invariant(this.#oldestId === this.#nextId, "every frame that was sent has been answered")
      clearTimeout(this.#deadline)
      this.#deadline = undefined
    }
  }

  #becomeIdle(): void {
    const idle = this.#onIdle
    this.#onIdle = undefined
    idle?.()
  }
}
