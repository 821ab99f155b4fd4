/**
 * One connection to the central, seen from the agency: messages out, answers in, both as frames. It owns the socket
 * for the scope it is opened in. Every wait has a deadline; whatever ends the connection (refused, reset, closed,
 * silent) is one retryable failure, ConnectionLost. An answer that can't be read is not: trying again can't help.
 */
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { Data, Effect, Option, Schema, type Scope } from "effect"
import type { Socket } from "effect/socket"
import { FrameDecoder } from "../../domain/Frame.ts"
import { frameBytesCeiling } from "../../domain/Limits.ts"
import { type Answer, decodeAnswer, encodeRequest, type Request } from "../../domain/Message.ts"

export interface Address {
  readonly host: string
  readonly port: number
}

export const formatAddress = ({ host, port }: Address): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`

/** The connection ended or stayed silent, or the central asked for patience. Connecting again can help. */
export class ConnectionLost extends Data.TaggedError("ConnectionLost")<{
  readonly problem: string
  /** The central is there and said when to come back. */
  readonly retryAfterMs?: number
  /** The central closed it, and said nothing: it stops, or another client of the agency has taken over. */
  readonly closed?: boolean
}> {}

/** The central's bytes are not an answer of this protocol. */
export class AnswerUnreadable extends Schema.TaggedError<AnswerUnreadable>()("AnswerUnreadable", {
  central: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.central} does not speak this protocol (${this.problem}): check the address and the port`
  }
}

export interface ConnectionTimeouts {
  readonly connectTimeoutMs: number
  /** How long the central may take for one answer, or for taking in one message. */
  readonly answerTimeoutMs: number
}

export interface CentralConnection {
  readonly send: (message: Request) => Effect.Effect<void, ConnectionLost>
  readonly receive: Effect.Effect<Answer, ConnectionLost | AnswerUnreadable>
}

/** A system error's code (`ECONNREFUSED`) says more than the layers that it was wrapped in. */
const describe = (error: Socket.SocketError): string => {
  const { reason } = error
  if (reason._tag === "SocketCloseError") return reason.message
  if (reason._tag === "SocketOpenError" && reason.kind === "Timeout") return "connecting timed out"
  const { cause } = reason
  if (cause instanceof Error && "code" in cause && typeof cause.code === "string") return cause.code
  return reason.message
}

/** Writing to a connection fails so when the other side has closed it. */
const closedCodes: ReadonlySet<string> = new Set(["EPIPE", "ERR_STREAM_WRITE_AFTER_END"])

const lost = (error: Socket.SocketError) => {
  const problem = describe(error)
  return Effect.fail(
    error.reason._tag === "SocketCloseError" || closedCodes.has(problem)
      ? new ConnectionLost({ problem: "the central closed the connection", closed: true })
      : new ConnectionLost({ problem })
  )
}

const utf8 = new TextEncoder()

export const openConnection = Effect.fnUntraced(function*(
  address: Address,
  timeouts: ConnectionTimeouts
): Effect.fn.Return<CentralConnection, ConnectionLost, Scope.Scope> {
  const central = formatAddress(address)
  const socket = yield* NodeSocket.makeNet({
    ...address,
    noDelay: true,
    keepAlive: true,
    openTimeout: timeouts.connectTimeoutMs
  })
  const { pull } = yield* socket.reader.pipe(Effect.catch(lost))
  const { write } = yield* socket.writer
  const decoder = new FrameDecoder()

  const readFrame = Effect.fnUntraced(function*() {
    while (true) {
      const step = decoder.next()
      if (step._tag === "Frame") return step.body
      if (step._tag === "Announced") {
        if (step.bytes === 0 || step.bytes > frameBytesCeiling) {
          return yield* new AnswerUnreadable({ central, problem: `a frame of ${step.bytes} bytes` })
        }
        decoder.accept()
        continue
      }
      const pieces = yield* Effect.catch(pull, lost)
      for (const piece of pieces) {
        decoder.push(typeof piece === "string" ? utf8.encode(piece) : piece)
      }
    }
  })

  const inTime = Effect.timeoutOrElse({
    duration: timeouts.answerTimeoutMs,
    orElse: () =>
      Effect.fail(new ConnectionLost({ problem: `no answer in ${timeouts.answerTimeoutMs} ms` }))
  })

  return {
    send: (message) => write(encodeRequest(message)).pipe(Effect.catch(lost), inTime),
    receive: readFrame().pipe(
      Effect.flatMap((body) =>
        Option.match(decodeAnswer(body), {
          onNone: () =>
            Effect.fail(new AnswerUnreadable({ central, problem: "an answer of an unknown kind" })),
          onSome: Effect.succeed
        })
      ),
      inTime
    )
  }
})
