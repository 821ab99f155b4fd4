/**
 * The agency's side of the wire: delivers a stream of bets, each stored exactly once and in order however often either
 * side or the network fails, and consults the winners without holding a connection. It reconnects with backoff, asks
 * the central where to go on (RESUME), and checks that the central holds the beginning of the same bets. It ends with
 * an error only when trying again can't help, or when there was no progress for `giveUpAfterMs`.
 */
import { Context, Effect, Layer, Option, Schema, type Scope, type Stream } from "effect"
import { BoundedLines } from "../base/BoundedLines.ts"
import type { LogLevel } from "../base/LogLevel.ts"
import { type LogWriter, OperatorLog } from "../base/OperatorLog.ts"
import type { BetFileError, BetLine } from "./BetFile.ts"
import {
  type Address,
  AnswerUnreadable,
  ConnectionLost,
  type ConnectionTimeouts,
  formatAddress,
  openConnection
} from "./CentralConnection.ts"
import {
  AgencyRefused,
  BetRefused,
  BetsChanged,
  deliverOver,
  type DeliveryChecks,
  type DeliveryOptions,
  failureOfError,
  ResumeMismatch
} from "./Delivery.ts"
import { DrawError } from "./DrawMemory.ts"
import { CentralUnreachable, makePatience, type PatienceOptions } from "./Patience.ts"

export interface AgencyOptions extends DeliveryOptions, ConnectionTimeouts, PatienceOptions {
  /** Where bets go. */
  readonly server: Address
  /** Where winners are asked for. */
  readonly consult: Address
  /** Of the log line that each stored chunk gets. */
  readonly chunkLogLevel: LogLevel
}

/** Every bound's default; an agency on a poor line must get through with them. */
export const agencyDefaults = {
  chunkBets: 100,
  windowChunks: 8,
  connectTimeoutMs: 10_000,
  answerTimeoutMs: 60_000,
  backoffFirstMs: 100,
  backoffMaxMs: 5000,
  takeoverBackoffMaxMs: 60_000,
  giveUpAfterMs: 24 * 60 * 60 * 1000,
  chunkLogLevel: "INFO"
} as const

/** What an agency can't cure by itself. Each message says what to do. */
export const AgencyError = Schema.Union([
  AgencyRefused,
  AnswerUnreadable,
  BetRefused,
  BetsChanged,
  CentralUnreachable,
  DrawError,
  ResumeMismatch
])
export type AgencyError = typeof AgencyError.Type

export interface DeliveryProgress {
  /** What the central holds after the latest answer; undefined before the first. */
  readonly bets: number | undefined
  /** It can't be reached, or asks for patience. */
  readonly waiting: boolean
}

export interface DeliveryRequest extends DeliveryChecks {
  readonly onProgress?: (progress: DeliveryProgress) => void
}

export class AgencyClient extends Context.Service<AgencyClient, {
  /**
   * Delivers the bets and the mark that they are all; succeeds with their number when all are on the central's disk.
   * The stream is run again after every lost connection. Given a look, what it gives must stay what was looked over.
   */
  readonly deliver: (
    bets: Stream.Stream<BetLine, BetFileError>,
    request?: DeliveryRequest
  ) => Effect.Effect<number, AgencyError | BetFileError>
  /** Waits for the draw; succeeds with the documents of the agency's winning bets, one per bet. */
  readonly winners: Effect.Effect<ReadonlyArray<string>, AgencyError>
}>()("loteria-nacional/services/agency/AgencyClient") {
  static readonly layer = (options: AgencyOptions) =>
    Layer.effect(AgencyClient, makeAgencyClient(options))
}

/** That the draw has not been held is how it goes; being cut off is not. */
const consultWaitLevel = (lost: ConnectionLost): LogLevel =>
  lost.retryAfterMs === undefined ? "WARNING" : "DEBUG"

/** Log lines of tries that failed. */
const waitLines = { linesMax: 10, windowMs: 300_000 } as const

const rivalDetail =
  "another client of this agency sends too, and each takes the connection from the other: stop one of them"

const untilSome = <A, E>(attempt: Effect.Effect<Option.Option<A>, E>): Effect.Effect<A, E> =>
  Effect.flatMap(
    attempt,
    (outcome) => Option.isSome(outcome) ? Effect.succeed(outcome.value) : untilSome(attempt)
  )

/** One question on a connection of its own. */
const ask = Effect.fnUntraced(function*({ agency, ...options }: AgencyOptions) {
  const central = formatAddress(options.consult)
  const connection = yield* openConnection(options.consult, options)
  yield* connection.send({ _tag: "ConsultWinners", agency, wait: false })
  const answer = yield* connection.receive
  switch (answer._tag) {
    case "InformAgencyWinners":
      return answer.documents
    case "WinnersNotReady":
      return yield* new ConnectionLost({
        problem: "the draw has not been held",
        retryAfterMs: answer.retryAfterMs
      })
    case "ErrorAnswer":
      return yield* failureOfError(agency, answer.code, answer.message)
    default:
      return yield* new AnswerUnreadable({ central, problem: `${answer._tag} out of place` })
  }
}, Effect.scoped)

/** Logs a wait before it begins. */
type LogWait = (
  action: string,
  central: string,
  level: (lost: ConnectionLost) => LogLevel
) => (lost: ConnectionLost, waitMs: number) => void

const deliverWith = (
  options: AgencyOptions,
  log: LogWriter,
  logWait: LogWait
): AgencyClient["Service"]["deliver"] => {
  const { agency } = options
  return Effect.fnUntraced(
    function*(bets, { onProgress, ...checks } = {}) {
      const central = formatAddress(options.server)
      let held = 0
      let known = false
      const tell = (waiting: boolean) => onProgress?.({ bets: known ? held : undefined, waiting })
      const logLost = logWait("apuestas_enviadas", central, () => "WARNING")
      const patience = yield* makePatience(central, options, (lost, waitMs) => {
        logLost(lost, waitMs)
        tell(true)
      })
      let sent: number | undefined
      let heldSeq = 0
      let outOfStep = false

      const observer = {
        connected: (seq: number) => {
          // A chunk may have been stored although its answer was lost: that is progress too.
          if (seq > heldSeq) outOfStep = false
          heldSeq = seq
          // Chunks are stored that this client never sent.
          if (sent !== undefined && seq > sent) {
            log.write("WARNING", "superseded", "success", { agencia: agency, detail: rivalDetail })
          }
          sent = seq
          return patience.connected
        },
        resumed: (seq: number, count: number) => {
          held = count
          known = true
          if (seq > 0) {
            log.write("INFO", "resume", "success", { agencia: agency, seq, cantidad: count })
          }
          tell(false)
        },
        sending: (seq: number) => {
          sent = seq
        },
        stored: Effect.fnUntraced(function*(count: number) {
          held += count
          heldSeq++
          outOfStep = false
          log.write(options.chunkLogLevel, "apuestas_enviadas", "success", {
            agencia: agency,
            cantidad: count
          })
          yield* patience.progressed
          tell(false)
        })
      }

      yield* openConnection(options.server, options).pipe(
        Effect.flatMap((connection) =>
          deliverOver(central, connection, options, bets, checks, observer)
        ),
        Effect.scoped,
        Effect.asSome,
        Effect.catchTag("OutOfStep", ({ refusal }) => {
          const again = outOfStep
          outOfStep = true
          return Effect.fail(again ? refusal : new ConnectionLost({ problem: refusal.code }))
        }),
        Effect.catchTag("ConnectionLost", (lost) => Effect.as(patience.wait(lost), Option.none())),
        // They were all bets when they were looked over.
        Effect.catchTag("BetLinesInvalid", (invalid) =>
          Effect.fail(
            checks.look === undefined
              ? invalid
              : new BetsChanged({ agency, problem: "it has lines that are no bets" })
          )),
        untilSome
      )
      log.write("INFO", "delivered", "success", {
        agencia: agency,
        cantidad: held,
        detail: "all delivered, waiting for the draw"
      })
      return held
    }
  )
}

const winnersWith = (
  options: AgencyOptions,
  log: LogWriter,
  logWait: LogWait
): AgencyClient["Service"]["winners"] =>
  Effect.gen(function*() {
    const central = formatAddress(options.consult)
    const patience = yield* makePatience(
      central,
      options,
      logWait("consulta_ganadores", central, consultWaitLevel)
    )
    const documents = yield* ask(options).pipe(
      Effect.asSome,
      Effect.catchTag("ConnectionLost", (lost) => Effect.as(patience.wait(lost), Option.none())),
      untilSome
    )
    log.write("INFO", "consulta_ganadores", "success", { cant_ganadores: documents.length })
    return documents
  })

const makeAgencyClient = Effect.fnUntraced(function*(
  options: AgencyOptions
): Effect.fn.Return<AgencyClient["Service"], never, OperatorLog | Scope.Scope> {
  const log = yield* OperatorLog
  const { agency } = options

  /** An agency may wait all night. */
  const waits = new BoundedLines<string>(waitLines, (action, cantidad) => {
    log.write("WARNING", action, "left_out", { agencia: agency, cantidad })
  })
  yield* Effect.addFinalizer(() => Effect.sync(() => waits.endWindow()))

  const logWait: LogWait = (action, central, level) => (lost, waitMs) => {
    if (!log.enabled(level(lost)) || !waits.take(action)) return
    const details = { agencia: agency, error: lost.problem, retry_in_ms: waitMs, central }
    log.write(level(lost), action, "fail", details)
  }

  return {
    deliver: deliverWith(options, log, logWait),
    winners: winnersWith(options, log, logWait)
  }
})
