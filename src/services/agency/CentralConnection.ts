/**
 * One connection to the central, seen from the agency: messages out, answers in, both as frames. It owns the socket
 * for the scope it is opened in. Every wait has a deadline; whatever ends the connection (refused, reset, closed,
 * silent) is one retryable failure, ConnectionLost. An answer that can't be read is not: trying again can't help.
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
  /** The central is there and said when to come back. */
  readonly retryAfterMs?: number | undefined
  /** The central closed it without an answer: it stops, or another client of the agency has taken over. */
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
  /** The failure of an answer that doesn't belong where it came. */
  readonly outOfPlace: (answer: Answer) => AnswerUnreadable
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

/** Bytes that a silent central doesn't take in must not keep the socket. */
const hangUp = (tcp: TcpSocket): void => {
  if (tcp.connecting || tcp.writableLength > 0) tcp.destroy()
  else tcp.destroySoon()
}

/** Connects for as long as the scope lasts. */
const dial = ({ host, port }: Address): Effect.Effect<TcpSocket, Socket.SocketError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => createConnection({ host, port, noDelay: true, keepAlive: true })),
    (tcp) => Effect.sync(() => hangUp(tcp))
  ).pipe(
    Effect.tap((tcp) =>
      Effect.callback<void, Socket.SocketError>((resume) => {
        tcp.once("connect", () => resume(Effect.void))
        // It stays: an error of a socket that nobody listens to would end the process.
        tcp.on("error", (cause) => {
          const reason = new Socket.SocketOpenError({ kind: "Unknown", cause })
          resume(Effect.fail(new Socket.SocketError({ reason })))
        })
      })
    )
  )

export const openConnection = Effect.fnUntraced(function*(
  address: Address,
  timeouts: ConnectionTimeouts
): Effect.fn.Return<CentralConnection, ConnectionLost, Scope.Scope> {
  const central = formatAddress(address)
  let tcp: TcpSocket | undefined
  const socket = yield* NodeSocket.fromDuplex(
    Effect.tap(dial(address), (connected) =>
      Effect.sync(() => {
        tcp = connected
      })),
    { openTimeout: timeouts.connectTimeoutMs }
  )
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

  /** Writing to a socket that has ended would wait for events that it has already had. */
  const writeOpen = (bytes: Uint8Array) =>
    Effect.suspend(() =>
      tcp?.writable === true ? write(bytes).pipe(Effect.catch(lost)) : closedByCentral
    )

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
