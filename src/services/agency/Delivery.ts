/**
 * One connection's worth of delivery: asks where the central got to, checks that what it holds is the beginning of this
 * file, and sends the rest with several chunks in flight. Whatever happens to the connection, nothing is kept for the
 * next one: the central's answer to RESUME is the truth, and the file is read again.
 */
import { Data, Effect, Schema, type Stream } from "effect"
import { createHash } from "node:crypto"
import type { AgencyId } from "../../domain/Agency.ts"
import { fieldsOfBet } from "../../domain/Bet.ts"
import { csvLine } from "../../domain/Csv.ts"
import type { Answer } from "../../domain/Message.ts"
import { type Code, codes } from "../../domain/Rejection.ts"
import type { BetFileError, BetLine, BetsLook } from "./BetFile.ts"
import { openBets } from "./BetReader.ts"
import { AnswerUnreadable, type CentralConnection, ConnectionLost } from "./CentralConnection.ts"
import type { DrawMemory } from "./DrawMemory.ts"

/** The central refused one bet; nothing of its chunk is stored. */
export class BetRefused extends Schema.TaggedError<BetRefused>()("BetRefused", {
  agency: Schema.Int,
  line: Schema.Int,
  code: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `agency ${this.agency}: line ${this.line} of the bet file was refused (${this.code}: ${this.reason}); `
      + "correct the line and start again: the agency goes on where it stopped"
  }
}

/** The central refused the agency or its messages, and trying again can't help. */
export class AgencyRefused extends Schema.TaggedError<AgencyRefused>()("AgencyRefused", {
  agency: Schema.Int,
  code: Schema.String,
  reason: Schema.String,
  action: Schema.String
}) {
  override get message(): string {
    return `agency ${this.agency}: ${this.code}: ${this.reason}. ${this.action}`
  }
}

/** What the central holds of the agency is not the beginning of this file. */
export class ResumeMismatch extends Schema.TaggedError<ResumeMismatch>()("ResumeMismatch", {
  agency: Schema.Int,
  stored: Schema.Int,
  problem: Schema.String
}) {
  override get message(): string {
    return `agency ${this.agency}: the central holds ${this.stored} bets of it, and ${this.problem}. Nothing was sent. `
      + "Send the file that was begun with; if it is lost, the central can export what it holds"
  }
}

/** The bets are no longer those that were looked over before the first was sent. */
export class BetsChanged extends Schema.TaggedError<BetsChanged>()("BetsChanged", {
  agency: Schema.Int,
  problem: Schema.String
}) {
  override get message(): string {
    return `agency ${this.agency}: the bet file was changed while it was sent: ${this.problem}. The last chunk was not sent, `
      + "and what was answered is stored. Start again when nobody writes to the file: what was begun with must be its beginning"
  }
}

/**
 * The central and the agency disagree about where they are, as when another connection sent in between. Asking again
 * where to go on cures it, unless it comes again at once.
 */
class OutOfStep extends Data.TaggedError("OutOfStep")<{ readonly refusal: AgencyRefused }> {}

export interface DeliveryOptions {
  readonly agency: AgencyId
  /** Bets a chunk, at most. */
  readonly chunkBets: number
  /** Chunks sent and not yet answered, at most. */
  readonly windowChunks: number
}

export interface DeliveryObserver {
  /** The central said how many chunks it holds. */
  readonly connected: (seq: number) => Effect.Effect<void>
  /** What it holds is the beginning of this file; `seq` is 0 when it holds nothing. */
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

/** Bets are hashed in steps of this many. */
const digestStepBets = 1000

const isCode = (code: string): code is Code => code in codes

const refused = (agency: AgencyId, code: string, reason: string) =>
  new AgencyRefused({
    agency,
    code,
    reason,
    action: isCode(code) ? codes[code].action : ""
  })

/** What an ERROR answer means: come back later, or don't. */
export const failureOfError = (agency: AgencyId, code: string, reason: string) =>
  code === "TIMEOUT" || code === "TOO_MANY_CONNECTIONS"
    ? new ConnectionLost({ problem: code })
    : refused(agency, code, reason)

const unexpected = (central: string, answer: Answer) =>
  new AnswerUnreadable({ central, problem: `${answer._tag} out of place` })

const failureOfRejection = (
  agency: AgencyId,
  chunk: SentChunk | undefined,
  answer: Extract<Answer, { readonly _tag: "ChunkRejected" }>
) => {
  if (codes[answer.code].retryable) {
    return new ConnectionLost({
      problem: answer.code,
      ...(answer.retryAfterMs === undefined ? {} : { retryAfterMs: answer.retryAfterMs })
    })
  }
  const culprit = answer.index === undefined ? undefined : chunk?.bets[answer.index]
  if (answer.code === "INVALID_BET" && culprit !== undefined) {
    return new BetRefused({ agency, line: culprit.line, code: answer.code, reason: answer.message })
  }
  const refusal = refused(agency, answer.code, answer.message)
  return answer.code === "SEQUENCE_GAP" || answer.code === "SEQUENCE_CONFLICT"
      || answer.code === "AGENCY_FINISHED"
    ? new OutOfStep({ refusal })
    : refusal
}

/** Reads bets, and knows what it has read. */
const countingReader = Effect.fnUntraced(function*(
  agency: AgencyId,
  stream: Stream.Stream<BetLine, BetFileError>
) {
  const { take } = yield* openBets(stream)
  const hash = createHash("sha256")
  let bets = 0
  return {
    take: (count: number) =>
      Effect.tap(take(count), (taken) =>
        Effect.sync(() => {
          for (const { bet } of taken.bets) hash.update(csvLine(agency, fieldsOfBet(bet)))
          bets += taken.bets.length
        })),
    count: () => bets,
    digest: () => hash.copy().digest("hex")
  }
})

type CountingReader = Effect.Success<ReturnType<typeof countingReader>>

/** Fails when what was read so far can't be what was looked over; `last` says that it is all. */
const compareWithLook = (
  agency: AgencyId,
  look: BetsLook | undefined,
  reader: CountingReader,
  last: boolean
): Effect.Effect<void, BetsChanged> => {
  if (look === undefined) return Effect.void
  const changed = (problem: string) => Effect.fail(new BetsChanged({ agency, problem }))
  const bets = reader.count()
  if (bets > look.bets) return changed(`it had ${look.bets} bets and has more now`)
  if (!last) return Effect.void
  if (bets < look.bets) return changed(`it had ${look.bets} bets and has ${bets} now`)
  return reader.digest() === look.digest
    ? Effect.void
    : changed("its bets are not the same any more")
}

/** Reads past the bets that the central holds, and fails unless they are this file's first. */
const skipStored = Effect.fnUntraced(function*(
  agency: AgencyId,
  reader: CountingReader,
  stored: number,
  digest: string,
  look: BetsLook | undefined
) {
  const mismatch = (problem: string) => new ResumeMismatch({ agency, stored, problem })
  while (reader.count() < stored) {
    const { bets } = yield* reader.take(Math.min(digestStepBets, stored - reader.count()))
    if (bets.length > 0) continue
    yield* compareWithLook(agency, look, reader, true)
    return yield* mismatch(`this file has only ${reader.count()}`)
  }
  if (reader.digest() !== digest) {
    return yield* mismatch("they are not the first of this file")
  }
})

/** Asks where to go on. */
const resume = Effect.fnUntraced(function*(
  central: string,
  connection: CentralConnection,
  agency: AgencyId
) {
  yield* connection.send({ _tag: "Resume", agency })
  const answer = yield* connection.receive
  switch (answer._tag) {
    case "ResumePoint":
      return answer
    case "ErrorAnswer":
      return yield* failureOfError(agency, answer.code, answer.message)
    case "ChunkRejected":
      return yield* failureOfRejection(agency, undefined, answer)
    default:
      return yield* unexpected(central, answer)
  }
})

/** Waits for the answer to the oldest chunk in flight; succeeds when the chunk is stored. */
const settle = Effect.fnUntraced(function*(
  central: string,
  connection: CentralConnection,
  agency: AgencyId,
  chunk: SentChunk,
  memory: DrawMemory | undefined
) {
  const answer = yield* connection.receive
  switch (answer._tag) {
    case "ChunkProcessed":
      if (answer.seq !== undefined && answer.seq !== chunk.seq) {
        return yield* unexpected(central, answer)
      }
      if (answer.draw !== undefined) yield* memory?.check(answer.draw) ?? Effect.void
      return
    case "ErrorAnswer":
      return yield* failureOfError(agency, answer.code, answer.message)
    case "ChunkRejected":
      return yield* failureOfRejection(agency, chunk, answer)
    default:
      return yield* unexpected(central, answer)
  }
})

export interface DeliveryChecks {
  /** What the bets were before the first one was sent; their last chunk is sent only if they still are. */
  readonly look?: BetsLook
  /** In which draw they may be sold. */
  readonly memory?: DrawMemory
}

/** Delivers what the central doesn't hold yet; succeeds when it holds the last chunk. */
export const deliverOver = Effect.fnUntraced(function*(
  central: string,
  connection: CentralConnection,
  { agency, chunkBets, windowChunks }: DeliveryOptions,
  stream: Stream.Stream<BetLine, BetFileError>,
  { look, memory }: DeliveryChecks,
  observer: DeliveryObserver
) {
  const point = yield* resume(central, connection, agency)
  if (memory !== undefined) yield* memory.check(point.draw)
  yield* observer.connected(point.seq)
  const reader = yield* countingReader(agency, stream)
  yield* skipStored(agency, reader, point.bets, point.digest, look)
  if (memory !== undefined) {
    const remembered = memory.remember(point.draw)
    // Of what is all stored nothing is sent, so that nothing can go wrong.
    yield* point.finished ? Effect.ignore(remembered) : remembered
  }
  observer.resumed(point.seq, point.bets)
  if (point.finished) {
    const { bets } = yield* reader.take(1)
    if (bets.length === 0) return
    return yield* new ResumeMismatch({
      agency,
      stored: point.bets,
      problem: "has taken its last chunk, but this file goes on"
    })
  }
  const inFlight: Array<SentChunk> = []
  let seq = point.seq
  let sentLast = false
  while (!sentLast || inFlight.length > 0) {
    if (!sentLast && inFlight.length < windowChunks) {
      const { bets, last } = yield* reader.take(chunkBets)
      yield* compareWithLook(agency, look, reader, last)
      const chunk: SentChunk = { seq: ++seq, bets }
      observer.sending(seq)
      yield* connection.send({
        _tag: last ? "SendLastChunk" : "SendChunk",
        agency,
        seq,
        bets: bets.map(({ bet }) => bet)
      })
      inFlight.push(chunk)
      sentLast = last
      continue
    }
    const oldest = inFlight[0]
    if (oldest === undefined) break
    yield* settle(central, connection, agency, oldest, memory)
    inFlight.shift()
    yield* observer.stored(oldest.bets.length)
  }
})
