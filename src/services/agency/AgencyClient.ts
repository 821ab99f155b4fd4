/**
 * The agency's side of the wire: delivers a stream of bets, each stored exactly once and in order however often either
 * side or the network fails, and asks for the winners without holding a connection. After a lost connection it connects
 * again (Retry.ts). On each connection it asks the central where to go on, and checks that the central holds the beginning
 * of the same bets (Delivery.ts). It fails only when trying again can't help, or without progress for `giveUpAfterMs`.
 */
import { Context, Effect, Layer, Schema, type Scope, type Stream } from "effect"
import { BoundedLines } from "../base/BoundedLines.ts"
import type { LogLevel } from "../base/LogLevel.ts"
import { type LogWriter, OperatorLog } from "../base/OperatorLog.ts"
import { BetsChanged } from "./BetCheck.ts"
import type { BetFileError, BetLine } from "./BetFile.ts"
import {
  type Address,
  AnswerUnreadable,
  ConnectionLost,
  type ConnectionTimeouts,
  formatAddress,
  openConnection
} from "./CentralConnection.ts"
import { askForWinners } from "./Consult.ts"
import {
  deliverOver,
  type DeliveryChecks,
  type DeliveryObserver,
  type DeliveryOptions,
  ResumeMismatch
} from "./Delivery.ts"
import { DeliveryState } from "./DeliveryState.ts"
import { DrawError } from "./DrawMemory.ts"
import { AgencyRefused, BetRefused } from "./Refusal.ts"
import {
  CentralUnreachable,
  makeRetry,
  type Retry,
  type RetryOptions,
  retryWhenLost,
  type Wait
} from "./Retry.ts"
import type { Addresses } from "./Servers.ts"

export interface AgencyOptions extends DeliveryOptions, ConnectionTimeouts, RetryOptions {
  /** The bets ports of the central's servers. */
  readonly servers: Addresses
  /** Their consult ports. */
  readonly consults: Addresses
  /** Of the log line that each stored chunk gets. */
  readonly chunkLogLevel: LogLevel
}

/** Every bound's default: an agency on a poor line must get through with them. */
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

/** What an agency can't solve by itself. Each message says what to do. */
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
  /** It can't be reached, or said to come back later. */
  readonly waiting: boolean
}

export interface DeliveryRequest extends DeliveryChecks {
  readonly onProgress?: (progress: DeliveryProgress) => void
}

export class AgencyClient extends Context.Service<AgencyClient, {
  /**
   * Delivers the bets and the mark that they are all; succeeds with their number when all are on the central's disk.
   * The stream is run again after every lost connection. Bets that were checked must stay as they were.
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

/** Bounds the log lines of failed attempts: an agency may wait all night. */
const waitLines = { linesMax: 10, windowMs: 300_000 } as const

const rivalDetail =
  "another client of this agency sends too, and each takes the connection from the other: stop one of them"

/** Logs a wait before it begins. */
type LogWait = (action: string, level: LogLevel, wait: Wait) => void

/** What an answer of the central changes: what is known of it, the retry, the log. */
const observe = (
  { agency, chunkLogLevel }: AgencyOptions,
  log: LogWriter,
  state: DeliveryState,
  retry: Retry,
  report: (waiting: boolean) => void
): DeliveryObserver => ({
  connected: (seq) => {
    if (state.hasRival(seq)) {
      log.write("WARNING", "superseded", "success", { agencia: agency, detail: rivalDetail })
    }
    state.connected(seq)
    return retry.connected
  },
  resumed: (seq, cantidad) => {
    state.resumed(cantidad)
    if (seq > 0) log.write("INFO", "resume", "success", { agencia: agency, seq, cantidad })
    report(false)
  },
  sending: (seq) => state.sending(seq),
  stored: Effect.fnUntraced(function*(cantidad) {
    state.stored(cantidad)
    log.write(chunkLogLevel, "apuestas_enviadas", "success", { agencia: agency, cantidad })
    yield* retry.progressed
    report(false)
  })
})

/** The errors that a server's answer causes: the agency ends with them, and they don't say which server it was. */
const spoken: ReadonlySet<string> = new Set([
  "AgencyRefused",
  "BetRefused",
  "DrawDiffers",
  "ResumeMismatch"
])

/** Where there are several servers, the log says which of them ended the agency. */
const noteServer = (
  { agency }: AgencyOptions,
  log: LogWriter,
  all: Addresses,
  server: Address,
  failure: { readonly _tag: string; readonly message: string; readonly code?: string }
): Effect.Effect<void> =>
  Effect.sync(() => {
    if (all.length === 1 || !spoken.has(failure._tag)) return
    log.write("ERROR", "refused", "fail", {
      agencia: agency,
      // The reasons that come with a code may quote a bet.
      error: failure.code ?? failure.message,
      central: formatAddress(server)
    })
  })

const deliverWith = (
  options: AgencyOptions,
  log: LogWriter,
  logWait: LogWait
): AgencyClient["Service"]["deliver"] => {
  const { agency, servers } = options
  return Effect.fnUntraced(function*(bets, { onProgress, ...checks } = {}) {
    const state = new DeliveryState()
    const report = (waiting: boolean) => onProgress?.({ bets: state.bets, waiting })
    const retry = yield* makeRetry(servers, options, (wait) => {
      logWait("apuestas_enviadas", "WARNING", wait)
      report(true)
    })
    const observer = observe(options, log, state, retry, report)
    const deliverTo = (server: Address) =>
      openConnection(server, options).pipe(
        Effect.flatMap((connection) => deliverOver(connection, options, bets, checks, observer)),
        Effect.scoped,
        Effect.catchTags({
          OutOfStep: ({ refusal }) =>
            Effect.fail(
              state.disagreed() ? refusal : new ConnectionLost({ problem: refusal.code })
            ),
          // They were all bets when they were checked.
          BetLinesInvalid: (invalid) =>
            Effect.fail(
              checks.checked === undefined
                ? invalid
                : new BetsChanged({ agency, problem: "it has lines that are not bets" })
            )
        }),
        Effect.tapError((failure) => noteServer(options, log, servers, server, failure))
      )
    yield* retryWhenLost(retry, deliverTo)
    const cantidad = state.bets ?? 0
    log.write("INFO", "delivered", "success", {
      agencia: agency,
      cantidad,
      detail: "all delivered, waiting for the draw"
    })
    return cantidad
  })
}

const winnersWith = (
  options: AgencyOptions,
  log: LogWriter,
  logWait: LogWait
): AgencyClient["Service"]["winners"] => {
  const { agency, consults } = options
  return Effect.gen(function*() {
    const retry = yield* makeRetry(consults, options, (wait) => {
      // A draw that has not been held is no trouble; a central that can't be reached is.
      const level = wait.lost.retryAfterMs === undefined ? "WARNING" : "DEBUG"
      logWait("consulta_ganadores", level, wait)
    })
    const ask = (server: Address) =>
      Effect.tapError(
        askForWinners(agency, server, options),
        (failure) => noteServer(options, log, consults, server, failure)
      )
    const documents = yield* retryWhenLost(retry, ask)
    log.write("INFO", "consulta_ganadores", "success", { cant_ganadores: documents.length })
    return documents
  })
}

const makeAgencyClient = Effect.fnUntraced(function*(
  options: AgencyOptions
): Effect.fn.Return<AgencyClient["Service"], never, OperatorLog | Scope.Scope> {
  const log = yield* OperatorLog
  const { agency } = options

  const waits = new BoundedLines<string>(waitLines, (action, cantidad) => {
    log.write("WARNING", action, "left_out", { agencia: agency, cantidad })
  })
  yield* Effect.addFinalizer(() => Effect.sync(() => waits.endWindow()))

  const logWait: LogWait = (action, level, { from, lost, to, waitMs }) => {
    if (!log.enabled(level) || !waits.take(action)) return
    const details = {
      agencia: agency,
      error: lost.problem,
      retry_in_ms: waitMs,
      central: formatAddress(from)
    }
    log.write(
      level,
      action,
      "fail",
      to === from ? details : { ...details, next: formatAddress(to) }
    )
  }

  return {
    deliver: deliverWith(options, log, logWait),
    winners: winnersWith(options, log, logWait)
  }
})
