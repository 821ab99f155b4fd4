/**
 * Delivery over one connection: asks where the central got to, checks that what it holds is the beginning of these bets,
 * and sends the rest with several chunks in flight. Nothing is kept for the next connection: the central's answer to
 * RESUME is the truth, and the bets are read again.
 */
import { Effect, Schema, type Stream } from "effect"
import type { AgencyId } from "../../domain/Agency.ts"
import { invariant } from "../../domain/Invariant.ts"
import type { Answer } from "../../domain/Message.ts"
import { type CheckedBets, compareWithChecked } from "./BetCheck.ts"
import type { BetFileError, BetLine } from "./BetFile.ts"
import { type BetReader, openReader } from "./BetReader.ts"
import type { CentralConnection } from "./CentralConnection.ts"
import type { DrawMemory } from "./DrawMemory.ts"
import { failureOfError, failureOfRejection } from "./Refusal.ts"

/** What the central holds of the agency is not the beginning of these bets. */
export class ResumeMismatch extends Schema.TaggedError<ResumeMismatch>()("ResumeMismatch", {
  agency: Schema.Int,
  stored: Schema.Int,
  problem: Schema.String
}) {
  override get message(): string {
    return `agency ${this.agency}: the central holds ${this.stored} bets of it, and ${this.problem}. Nothing was sent. `
      + "Send the file with which the delivery began; if it is lost, the central can export these bets"
  }
}

export interface DeliveryOptions {
  readonly agency: AgencyId
  /** Bets a chunk, at most. */
  readonly chunkBets: number
  /** Chunks sent and not yet answered, at most. */
  readonly windowChunks: number
}

export interface DeliveryChecks {
  /** What the bets were before the first one was sent. The last chunk is sent only if they still are. */
  readonly checked?: CheckedBets
  /** The draw in which they may be sold. */
  readonly memory?: DrawMemory
}

export interface DeliveryObserver {
  /** The central said which chunk is the last that it holds. */
  readonly connected: (seq: number) => Effect.Effect<void>
  /** What it holds is the beginning of these bets; `seq` is 0 when it holds nothing. */
  readonly resumed: (seq: number, bets: number) => void
  /** A chunk is about to be sent. */
  readonly sending: (seq: number) => void
  /** A chunk was stored. */
  readonly stored: (bets: number) => Effect.Effect<void>
}

interface SentChunk {
  readonly seq: number
  readonly bets: ReadonlyArray<BetLine>
}

/** Chunks sent and not yet answered. Answers come in the order of the chunks. */
class ChunksInFlight {
  readonly #max: number
  readonly #chunks: Array<SentChunk> = []

  constructor(max: number) {
    this.#max = max
  }

  get isFull(): boolean {
    return this.#chunks.length >= this.#max
  }

  /** The chunk that the next answer is for. */
  get oldest(): SentChunk | undefined {
    return this.#chunks[0]
  }

  sent(chunk: SentChunk): void {
    const newest = this.#chunks.at(-1)
    invariant(!this.isFull, "no more chunks are in flight than the window allows")
    invariant(newest === undefined || chunk.seq === newest.seq + 1, "chunks are sent in order")
    this.#chunks.push(chunk)
  }

  answered(chunk: SentChunk): void {
    invariant(this.#chunks.shift() === chunk, "chunks are answered in order")
  }
}

type ResumePoint = Extract<Answer, { readonly _tag: "ResumePoint" }>

/** Bets that the central holds are read in steps of this many. */
const skipStepBets = 1000

/** Asks where to go on. */
const resume = Effect.fnUntraced(function*(connection: CentralConnection, agency: AgencyId) {
  yield* connection.send({ _tag: "Resume", agency })
  const answer = yield* connection.receive
  switch (answer._tag) {
    case "ResumePoint":
      return answer
    case "ErrorAnswer":
      return yield* failureOfError(agency, answer)
    case "ChunkRejected":
      return yield* failureOfRejection(agency, answer, () => undefined)
    default:
      return yield* connection.outOfPlace(answer)
  }
})

/** Reads past the bets that the central holds, and fails unless they are the first of these. */
const skipStored = Effect.fnUntraced(function*(
  agency: AgencyId,
  reader: BetReader,
  { bets: stored, digest }: ResumePoint,
  checked: CheckedBets | undefined
) {
  const mismatch = (problem: string) => new ResumeMismatch({ agency, stored, problem })
  while (reader.count() < stored) {
    const { bets } = yield* reader.take(Math.min(skipStepBets, stored - reader.count()))
    if (bets.length > 0) continue
    yield* compareWithChecked(agency, checked, reader, true)
    return yield* mismatch(`this file has only ${reader.count()}`)
  }
  invariant(reader.count() === stored, "as many bets are skipped as the central holds")
  if (reader.digest() !== digest) return yield* mismatch("they are not the first of this file")
})

/** Waits for the answer to the chunk; succeeds when it is stored. */
const receiveStored = Effect.fnUntraced(function*(
  connection: CentralConnection,
  agency: AgencyId,
  chunk: SentChunk,
  memory: DrawMemory | undefined
) {
  const answer = yield* connection.receive
  switch (answer._tag) {
    case "ChunkProcessed":
      if (answer.seq !== undefined && answer.seq !== chunk.seq) {
        return yield* connection.outOfPlace(answer)
      }
      if (answer.draw !== undefined && memory !== undefined) yield* memory.check(answer.draw)
      return
    case "ErrorAnswer":
      return yield* failureOfError(agency, answer)
    case "ChunkRejected":
      return yield* failureOfRejection(agency, answer, (index) => chunk.bets[index]?.line)
    default:
      return yield* connection.outOfPlace(answer)
  }
})

/** Sends what the reader still has, from the chunk after `stored` on, until the last chunk is stored. */
const sendRest = Effect.fnUntraced(function*(
  connection: CentralConnection,
  { agency, chunkBets, windowChunks }: DeliveryOptions,
  reader: BetReader,
  stored: number,
  { checked, memory }: DeliveryChecks,
  observer: DeliveryObserver
) {
  const inFlight = new ChunksInFlight(windowChunks)
  let seq = stored
  let sentLast = false
  while (true) {
    if (!sentLast && !inFlight.isFull) {
      const { bets, last } = yield* reader.take(chunkBets)
      yield* compareWithChecked(agency, checked, reader, last)
      observer.sending(++seq)
      yield* connection.send({
        _tag: last ? "SendLastChunk" : "SendChunk",
        agency,
        seq,
        bets: bets.map(({ bet }) => bet)
      })
      inFlight.sent({ seq, bets })
      sentLast = last
      continue
    }
    const { oldest } = inFlight
    if (oldest === undefined) return
    yield* receiveStored(connection, agency, oldest, memory)
    inFlight.answered(oldest)
    yield* observer.stored(oldest.bets.length)
  }
})

/** Delivers what the central doesn't hold yet; succeeds when it holds the last chunk. */
export const deliverOver = Effect.fnUntraced(function*(
  connection: CentralConnection,
  options: DeliveryOptions,
  stream: Stream.Stream<BetLine, BetFileError>,
  checks: DeliveryChecks,
  observer: DeliveryObserver
) {
  const { agency } = options
  const { checked, memory } = checks
  const point = yield* resume(connection, agency)
  if (memory !== undefined) yield* memory.check(point.draw)
  yield* observer.connected(point.seq)
  const reader = yield* openReader(agency, stream)
  yield* skipStored(agency, reader, point, checked)
  if (memory !== undefined) {
    const remembered = memory.remember(point.draw)
    // When all is stored, nothing is sent that could go into a wrong draw.
    yield* point.finished ? Effect.ignore(remembered) : remembered
  }
  observer.resumed(point.seq, point.bets)
  if (!point.finished) {
    return yield* sendRest(connection, options, reader, point.seq, checks, observer)
  }
  const { bets } = yield* reader.take(1)
  if (bets.length === 0) return
  return yield* new ResumeMismatch({
    agency,
    stored: point.bets,
    problem: "has taken its last chunk, but this file goes on"
  })
})
