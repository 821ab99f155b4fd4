/**
 * One session of the commit lane. It runs one statement at a time, each with one message: a server that is stopped in the
 * middle of it holds no lock in the database. A statement is never cancelled: with a synchronous standby, a commit whose
 * wait was cancelled is answered as a success. Whatever makes an answer doubtful loses the session, and a statement that
 * is not answered in time does.
 */
import * as PgProtocol from "@effect/sql-pg/PgProtocol"
import { Deferred, Effect, Result, type Scope } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Duplex } from "node:stream"
import { invariant } from "../../../domain/Invariant.ts"
import { CommitLaneMessages } from "./CommitLaneMessages.ts"
import { openSession } from "./CommitLaneSocket.ts"
import type { Statement } from "./CommitLaneStatements.ts"
import type { LinkOptions } from "./Links.ts"
import { isRolledBack } from "./SqlFailures.ts"

/** What was written last may have been carried out, or not. The session is closed. */
export interface SessionLost {
  readonly _tag: "SessionLost"
  readonly problem: string
}

/** Nothing of the statement is stored, and the session can go on. */
export interface RolledBack {
  readonly _tag: "RolledBack"
  readonly code: string
  readonly problem: string
}

/** The statement's transaction is committed. Of each row its one column. */
export interface Done {
  readonly _tag: "Done"
  readonly rows: ReadonlyArray<number>
}

interface Cycle {
  readonly rows: Array<number>
  rolledBack: RolledBack | undefined
  readonly deadline: NodeJS.Timeout
  readonly resume: (effect: Effect.Effect<Done, RolledBack | SessionLost>) => void
}

/** Rows are numbers, and errors a few lines: longer messages don't come from PostgreSQL. */
const messageBytesMax = 1024 * 1024
const twoTo32 = 2 ** 32

export class CommitLaneSession {
  readonly #socket: Duplex
  readonly #answerMs: number
  readonly #parser = PgProtocol.makeParser<number>({
    maxMessageSize: messageBytesMax,
    readField: readNumber
  })
  readonly #lost = Deferred.makeUnsafe<SessionLost>()
  readonly #onIdle: Array<() => void> = []
  #cycle: Cycle | undefined
  #isOpen = true
  /** For the messages of this session. */
  readonly messages = new CommitLaneMessages()

  private constructor(socket: Duplex, answerMs: number) {
    this.#socket = socket
    this.#answerMs = answerMs
    socket.on("data", (bytes: Uint8Array) => this.#read(bytes))
    socket.once("error", (error) => this.#lose(error.message))
    socket.once("end", () => this.#lose("the connection was closed"))
    socket.once("close", () => this.#lose("the connection was closed"))
    socket.resume()
  }

  /** Opens a session until the scope ends, which waits for the statement under way. */
  static readonly open = Effect.fnUntraced(function*(
    options: LinkOptions,
    statements: ReadonlyArray<Statement>,
    answerMs: number
  ): Effect.fn.Return<CommitLaneSession, SqlError | SessionLost | RolledBack, Scope.Scope> {
    const socket = yield* openSession(options)
    const session = yield* Effect.acquireRelease(
      Effect.sync(() => new CommitLaneSession(socket, answerMs)),
      (opened) => opened.#close
    )
    yield* session.ask(prepareMessages(statements))
    return session
  })

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Waits until the session is lost. */
  get lost(): Effect.Effect<SessionLost> {
    return Deferred.await(this.#lost)
  }

  /** Runs what the messages say, up to their Sync. Once they are written they run, whether or not somebody waits. */
  ask(messages: Uint8Array): Effect.Effect<Done, RolledBack | SessionLost> {
    return Effect.callback((resume) => {
      invariant(this.#isOpen && this.#cycle === undefined, "an open session is asked one at a time")
      const deadline = setTimeout(
        () => this.#lose(`no answer within ${this.#answerMs} ms`),
        this.#answerMs
      )
      this.#cycle = { rows: [], rolledBack: undefined, deadline, resume }
      this.#socket.write(messages)
    })
  }

  /** Ends the session: it can't do what it is for. */
  retire(problem: string): void {
    this.#lose(problem)
  }

  get #close(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      if (this.#cycle === undefined) return resume(Effect.void)
      this.#onIdle.push(() => resume(Effect.void))
    })
  }

  #read(bytes: Uint8Array): void {
    if (!this.#isOpen) return
    try {
      this.#parser.pushEach(bytes, (message) => this.#take(message))
    } catch (error) {
      this.#lose(`what it says can't be understood: ${String(error)}`)
    }
  }

  #take(message: PgProtocol.BackendMessage<number>): void {
    switch (message._tag) {
      case "DataRow":
        this.#cycle?.rows.push(message.values[0] ?? Number.NaN)
        return
      case "ErrorResponse":
        return this.#refuse(message.fields)
      case "NoticeResponse":
        return this.#notice(message.fields)
      case "ReadyForQuery":
        return this.#finish()
      case "ParseComplete":
      case "BindComplete":
      case "CommandComplete":
      case "ParameterStatus":
        return
      default:
        this.#lose(`an unexpected ${message._tag}`)
    }
  }

  /** An error that ends the session may come after the commit. */
  #refuse(error: PgProtocol.ErrorFields): void {
    const { code = "", severityUnlocalized: severity = "" } = error
    if (this.#cycle !== undefined && isRolledBack({ code, severity })) {
      this.#cycle.rolledBack ??= { _tag: "RolledBack", code, problem: describe(error) }
    } else this.#lose(describe(error))
  }

  /** That a wait for the standby was given up is only a warning, and the commit is answered as a success. */
  #notice(notice: PgProtocol.ErrorFields): void {
    if (notice.severityUnlocalized === "WARNING" && this.#cycle !== undefined) {
      this.#lose(describe(notice))
    }
  }

  /** The commit comes after CommandComplete: only this says that it went well. */
  #finish(): void {
    const cycle = this.#cycle
    if (cycle === undefined) return this.#lose("it answered what it wasn't asked")
    const { rolledBack, rows } = cycle
    this.#end(
      rolledBack === undefined ? Effect.succeed({ _tag: "Done", rows }) : Effect.fail(rolledBack)
    )
  }

  #lose(problem: string): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#socket.destroy()
    const lost: SessionLost = { _tag: "SessionLost", problem }
    this.#end(Effect.fail(lost))
    Deferred.doneUnsafe(this.#lost, Effect.succeed(lost))
  }

  #end(outcome: Effect.Effect<Done, RolledBack | SessionLost>): void {
    const cycle = this.#cycle
    this.#cycle = undefined
    if (cycle !== undefined) {
      clearTimeout(cycle.deadline)
      cycle.resume(outcome)
    }
    for (const idle of this.#onIdle.splice(0)) idle()
  }
}

const describe = ({ code, message }: PgProtocol.ErrorFields): string =>
  `${message} (SQLSTATE ${code})`

/** The result's one column is an int8 that JavaScript can hold. */
function readNumber(bytes: Uint8Array, at: number, size: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, size)
  return view.getUint32(0) * twoTo32 + view.getUint32(4)
}

const prepareMessages = (statements: ReadonlyArray<Statement>): Uint8Array =>
  Buffer.concat([
    ...statements.map(({ name, parameters, sql }) =>
      Result.getOrThrow(
        PgProtocol.encodeParse({ name, query: sql, parameterTypes: parameters })
      )
    ),
    PgProtocol.encodeSync()
  ])
