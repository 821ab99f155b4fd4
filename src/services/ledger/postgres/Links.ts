/**
 * Connections to PostgreSQL. Each is opened on a socket of ours, so that it can be cut at once when an answer doesn't
 * come in time: a peer that is gone without a word, or a proxy that holds everything back, would otherwise keep it for a
 * quarter of an hour. Node has no timeout for what TCP has not confirmed.
 *
 * Statements are pipelined (`multiplex`), not for speed: of a pipelined statement the library never sends a cancellation
 * when its fiber is interrupted. A server that waits for its standby would answer a cancelled commit as a success.
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import { Cause, Duration, Effect, Exit, Option, Pool, type Scope } from "effect"
import { ConnectionError, isSqlError, SqlError } from "effect/sql/SqlError"
import { readFileSync } from "node:fs"
import * as net from "node:net"
import type { ConnectionOptions } from "node:tls"
import type { PostgresUrl } from "../../base/PostgresUrl.ts"
import type { LedgerUnavailable } from "../BetLedger.ts"
import { failSql, serverErrorOf } from "./SqlFailures.ts"

export interface LinkOptions {
  readonly url: PostgresUrl
  /** How the sessions are called in the server's lists. */
  readonly applicationName: string
  readonly connectMs: number
  /** Settings of the sessions, over {@link sessionSettings}. */
  readonly settings?: Readonly<Record<string, string>>
}

/**
 * What every session needs. A commit is answered when it is on disk, and on the synchronous standby if there is one.
 * Plans that are made once cost less, and no statement gains from another plan or from compilation. A session that is
 * left in the middle of a transaction is ended by the server, and gives back its locks.
 */
const sessionSettings: Readonly<Record<string, string>> = {
  synchronous_commit: "on",
  jit: "off",
  plan_cache_mode: "force_generic_plan",
  default_transaction_isolation: "read committed",
  idle_in_transaction_session_timeout: "30000",
  client_min_messages: "warning"
}

/** A chunk's message had at most 16 MiB, and its row is smaller than that. */
const messageBytesMax = 64 * 1024 * 1024
/** The kernel asks after this much silence whether the other end is still there. */
const keepAliveMs = 10_000

export interface Link {
  readonly connection: PgConnection.PgConnection
  readonly openedAt: number
  readonly isOpen: () => boolean
  /** Ends it without a word. */
  readonly cut: () => void
}

/** For a connection that the library makes for itself. */
export const linkConfig = (options: LinkOptions): PgConnection.Config => {
  const { applicationName, connectMs, settings, url } = options
  return {
    host: url.host,
    port: url.port,
    database: url.database,
    username: url.user,
    password: url.password,
    ssl: tlsOptions(url),
    connectTimeout: Duration.millis(connectMs),
    applicationName,
    startupParameters: { ...sessionSettings, ...settings },
    maxMessageSize: messageBytesMax,
    multiplex: true,
    stream: () => openSocket(url)
  }
}

/** How the connection is encrypted; false if it isn't. */
export const tlsOptions = ({ caFile, tls }: PostgresUrl): ConnectionOptions | false => {
  if (tls === "disable") return false
  if (tls === "require") return { rejectUnauthorized: false }
  return {
    ...(caFile === undefined ? {} : { ca: readFileSync(caFile) }),
    ...(tls === "verify-ca" ? { checkServerIdentity: () => undefined } : {})
  }
}

/** A host that begins with a slash is the folder of a Unix socket. What is written before it is open waits in it. */
export const openSocket = ({ host, port }: PostgresUrl): net.Socket =>
  host.startsWith("/")
    ? net.connect({ path: `${host}/.s.PGSQL.${port}` })
    : net.connect({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveMs
    })

/** Opens a connection until the scope ends. */
export const openLink = Effect.fnUntraced(function*(
  options: LinkOptions
): Effect.fn.Return<Link, SqlError, Scope.Scope> {
  const sockets: Array<net.Socket> = []
  const config = yield* Effect.try({
    try: () => linkConfig(options),
    catch: (cause) => notConnected("The certificates can't be read", cause)
  })
  // The library's finalizer runs before this one, and says goodbye.
  yield* Effect.addFinalizer(() => Effect.sync(() => sockets[0]?.destroySoon()))
  const connection = yield* PgConnection.make({
    ...config,
    stream: () => {
      const socket = openSocket(options.url)
      sockets.push(socket)
      return socket
    }
  })
  return {
    connection,
    openedAt: performance.now(),
    isOpen: () => sockets[0]?.writable === true,
    cut: () => sockets[0]?.destroy()
  }
})

export const notConnected = (message: string, cause: unknown = new Error(message)): SqlError =>
  new SqlError({ reason: new ConnectionError({ cause, message, operation: "connect" }) })

export interface LinkPoolOptions extends LinkOptions {
  readonly linksMax: number
  /** The longest that an operation may take; then its connection is cut. */
  readonly answerMs: number
}

/** A standby: another connection may lead to the primary. */
const readOnly = "25006"

/** Whether every statement was answered, and the connection is worth keeping. */
const isAnswered = (exit: Exit.Exit<unknown, unknown>): boolean => {
  if (Exit.isSuccess(exit)) return true
  const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  const said = isSqlError(error) ? serverErrorOf(error) : undefined
  return said !== undefined && said.code !== readOnly
}

/** Connections that are opened when they are needed, and again after they were lost. */
export class LinkPool {
  readonly #pool: Pool.Pool<Link, SqlError>
  readonly #answerMs: number
  /** After an answer that didn't come, no connection from before that is trusted: all of them go the same way. */
  #suspectBefore = 0

  private constructor(pool: Pool.Pool<Link, SqlError>, answerMs: number) {
    this.#pool = pool
    this.#answerMs = answerMs
  }

  static readonly make = Effect.fnUntraced(function*(options: LinkPoolOptions) {
    const pool = yield* Pool.makeWithTTL({
      acquire: openLink(options),
      min: 0,
      max: options.linksMax,
      concurrency: 1,
      timeToLive: Duration.minutes(1)
    })
    return new LinkPool(pool, options.answerMs)
  })

  /** Works with a connection that nobody else uses meanwhile, and cuts it if that takes too long. */
  readonly use = <A>(
    operation: string,
    work: (connection: PgConnection.PgConnection) => Effect.Effect<A, SqlError | LedgerUnavailable>,
    answerMs?: number
  ): Effect.Effect<A, LedgerUnavailable> =>
    Effect.catchTag(this.attempt(work, answerMs), "SqlError", failSql(operation))

  /** As {@link use}, with the error as it came. */
  readonly attempt = <A, E>(
    work: (connection: PgConnection.PgConnection) => Effect.Effect<A, SqlError | E>,
    answerMs = this.#answerMs
  ): Effect.Effect<A, SqlError | E> =>
    Effect.scoped(
      Effect.flatMap(this.#take, (link) =>
        work(link.connection).pipe(
          Effect.timeoutOrElse({
            duration: answerMs,
            orElse: () => Effect.suspend(() => this.#unanswered(answerMs))
          }),
          Effect.onExit((exit) =>
            isAnswered(exit) ? Effect.void : Effect.andThen(
              Effect.sync(link.cut),
              Pool.invalidate(this.#pool, link)
            )
          )
        ))
    )

  /** Waits for one that is free as long as for an answer. */
  readonly #take: Effect.Effect<Link, SqlError, Scope.Scope> = Effect.suspend(() =>
    Effect.timeoutOrElse(this.#takeOpen, {
      duration: this.#answerMs,
      orElse: () => Effect.fail(notConnected(`No connection was free within ${this.#answerMs} ms`))
    })
  )

  readonly #takeOpen: Effect.Effect<Link, SqlError, Scope.Scope> = Effect.suspend(() =>
    Effect.flatMap(Pool.get(this.#pool), (link) => {
      if (link.isOpen() && link.openedAt >= this.#suspectBefore) return Effect.succeed(link)
      link.cut()
      return Effect.andThen(Pool.invalidate(this.#pool, link), this.#takeOpen)
    })
  )

  #unanswered(answerMs: number): Effect.Effect<never, SqlError> {
    this.#suspectBefore = performance.now()
    return Effect.fail(notConnected(`No answer within ${answerMs} ms`))
  }
}
