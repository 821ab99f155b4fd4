/**
 * One connection to the central, seen from the agency: messages out, answers in, both as frames. It owns the socket
 * for the scope in which it is opened. Every wait has a deadline. Whatever ends the connection (refused, reset, closed,
 * silent) is one failure, ConnectionLost, after which connecting again can help. After an answer that can't be read it
 * can't.
 */
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { Data, Effect, Option, Schema, type Scope } from "effect"
import { Socket } from "effect/socket"
import { createConnection, type Socket as TcpSocket } from "node:net"
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
  /** The central was reached, and said when to come back. */
  readonly retryAfterMs?: number | undefined
  /** The central closed it without an answer: it stops, or another client of the agency has taken over. */
  readonly closed?: boolean
  /** Any other server would say the same. */
  readonly everywhere?: boolean
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
  /** The failure of an answer that doesn't belong where it came. */
  readonly outOfPlace: (answer: Answer) => AnswerUnreadable
}

/** A system error's code (`ECONNREFUSED`) says more than the errors that wrap it. */
const describe = ({ reason }: Socket.SocketError): string => {
  if (reason._tag === "SocketCloseError") return reason.message
  const { cause } = reason
  if (cause instanceof Error && "code" in cause && typeof cause.code === "string") return cause.code
  return reason.message
}

/** The codes with which a write fails after the other side has closed the connection. */
const closedCodes: ReadonlySet<string> = new Set(["EPIPE", "ERR_STREAM_WRITE_AFTER_END"])

const closedByCentral = Effect.suspend(() =>
  Effect.fail(new ConnectionLost({ problem: "the central closed the connection", closed: true }))
)

const lost = (error: Socket.SocketError): Effect.Effect<never, ConnectionLost> => {
  const problem = describe(error)
  return error.reason._tag === "SocketCloseError" || closedCodes.has(problem)
    ? closedByCentral
    : Effect.fail(new ConnectionLost({ problem }))
}

const utf8 = new TextEncoder()

/** Bytes that a silent central doesn't take must not keep the socket open. */
const hangUp = (tcp: TcpSocket): void => {
  if (tcp.connecting || tcp.writableLength > 0) tcp.destroy()
  else tcp.destroySoon()
}

/** A socket that is connected, and closed at the end of the scope. */
const connect = (
  { host, port }: Address,
  { connectTimeoutMs }: ConnectionTimeouts
): Effect.Effect<TcpSocket, ConnectionLost, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => createConnection({ host, port, noDelay: true, keepAlive: true })),
    (tcp) => Effect.sync(() => hangUp(tcp))
  ).pipe(
    Effect.tap((tcp) =>
      Effect.callback<void, Socket.SocketError>((resume) => {
        tcp.once("connect", () => resume(Effect.void))
        // This listener stays: without one, an error of the socket would end the process.
        tcp.on("error", (cause) => {
          const reason = new Socket.SocketOpenError({ kind: "Unknown", cause })
          resume(Effect.fail(new Socket.SocketError({ reason })))
        })
      })
    ),
    Effect.catch(lost),
    Effect.timeoutOrElse({
      duration: connectTimeoutMs,
      orElse: () => Effect.fail(new ConnectionLost({ problem: "connecting timed out" }))
    })
  )

export const openConnection = Effect.fnUntraced(function*(
  address: Address,
  timeouts: ConnectionTimeouts
): Effect.fn.Return<CentralConnection, ConnectionLost, Scope.Scope> {
  const central = formatAddress(address)
  const tcp = yield* connect(address, timeouts)
  const socket = yield* NodeSocket.fromDuplex(Effect.succeed(tcp))
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

  /** A write to a socket that has ended would wait for events that were emitted before. */
  const writeOpen = (bytes: Uint8Array) =>
    Effect.suspend(() => tcp.writable ? write(bytes).pipe(Effect.catch(lost)) : closedByCentral)

  return {
    outOfPlace: ({ _tag }) => new AnswerUnreadable({ central, problem: `${_tag} out of place` }),
    send: (message) => inTime(writeOpen(encodeRequest(message))),
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
