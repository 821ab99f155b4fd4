/**
 * The commit lane: it stores groups of chunks in PostgreSQL, over sessions of its own that have the store statement
 * prepared. The rest of this home works with the library's statements, which would cost half as much again here.
 *
 * A commit has one of four outcomes. Chunks are stored, or their agencies are fenced: the answer says which. The
 * statement was refused: nothing is stored, and the ledger is unavailable. Or it was sent and its answer is lost: then the
 * commit is in doubt. Only a new claim can tell, and none is asked here.
 */
import { Effect, Latch, type Scope } from "effect"
import type { AgencyId } from "../../../domain/Agency.ts"
import type { Claim } from "../../../domain/Claim.ts"
import type { Standing } from "../../../domain/Standing.ts"
import { type BackoffBounds, backoffMs } from "../../base/Backoff.ts"
import { Keeper } from "../../base/Keeper.ts"
import {
  type Committed,
  type LedgerChunk,
  LedgerInDoubt,
  type LedgerUnavailable
} from "../BetLedger.ts"
import { CommitLaneClaims } from "./CommitLaneClaims.ts"
import { CommitLaneSession } from "./CommitLaneSession.ts"
import { CommitLaneSessions } from "./CommitLaneSessions.ts"
import {
  lostMessages,
  lostStatement,
  probeMessages,
  probeStatement,
  storeMessages,
  storeStatement
} from "./CommitLaneStatements.ts"
import type { LinkOptions } from "./Links.ts"
import { describeSql, isTransient, unavailable } from "./SqlFailures.ts"

export interface CommitLaneOptions {
  readonly link: LinkOptions
  /** The id of the lottery. */
  readonly lottery: number
  /** This server's name, under which the home claims. No two servers have one name. */
  readonly server: string
  /** Groups under way at once: each has a session to itself. */
  readonly groupsMax: number
  /** How long a statement may take. */
  readonly answerMs: number
  /** The waits before a session is opened again. */
  readonly reopen: BackoffBounds
}

export interface CommitLane {
  /** The home gave this server a claim: chunks under it may come from now on. */
  readonly give: (agency: AgencyId, claim: Claim) => void
  /** What the home is known to hold of the agency: as its last claim said, and acknowledged since then. */
  readonly known: (agency: AgencyId) => Standing | undefined
  /** As BetLedger's. An interruption of the caller ends nothing. */
  readonly commit: (
    group: ReadonlyArray<LedgerChunk>
  ) => Effect.Effect<Committed, LedgerUnavailable | LedgerInDoubt>
}

export const openCommitLane = Effect.fnUntraced(function*(
  options: CommitLaneOptions
): Effect.fn.Return<CommitLane, never, Keeper | Scope.Scope> {
  const { groupsMax, lottery, server } = options
  const store = { lottery, server: Buffer.from(server) }
  const keeper = yield* Keeper
  const claims = new CommitLaneClaims()
  const sessions = new CommitLaneSessions()
  for (let place = 0; place < groupsMax; place++) {
    yield* keeper.loop("commit lane", keepSession(options, sessions, claims))
  }
  /** `session` is free, and open at this moment: nothing may come between this and what is written. */
  const storeWith = (session: CommitLaneSession, group: ReadonlyArray<LedgerChunk>) => {
    const admitted = claims.admit(group)
    if (admitted.chunks.length === 0 && group.length > 0) {
      return Effect.succeed({ fenced: admitted.fenced })
    }
    const messages = group.length === 0
      ? probeMessages(session.messages, lottery)
      : storeMessages(session.messages, store, admitted.chunks)
    return session.ask(messages).pipe(
      Effect.map(({ rows }) => ({ fenced: claims.settle(admitted, new Set(rows)) })),
      Effect.catchTags({
        RolledBack: ({ code, problem }) => {
          if (isOfSession(code)) session.retire(problem)
          return isTransient(code) ? failUnavailable(problem) : Effect.die(new Error(problem))
        },
        SessionLost: ({ problem }) => {
          claims.doubt(admitted)
          return Effect.fail(new LedgerInDoubt({ cause: new Error(problem) }))
        }
      })
    )
  }
  /**
   * Claims are looked at when there is a session: while one was opened anew, it may have turned out that a failover has
   * lost what a claim says.
   */
  const commit = (
    group: ReadonlyArray<LedgerChunk>
  ): Effect.Effect<Committed, LedgerUnavailable | LedgerInDoubt> =>
    Effect.flatMap(Effect.catch(sessions.take, failUnavailable), (session) =>
      session.isOpen
        ? Effect.ensuring(storeWith(session, group), Effect.sync(() => sessions.offer(session)))
        // It was lost on the way here, and nothing was written to it.
        : commit(group))
  const idle = yield* Latch.make(true)
  let underWay = 0
  // Sessions end after it, as they were opened before it.
  yield* Effect.addFinalizer(() => idle.await)
  return {
    give: (agency, claim) => claims.give(agency, claim),
    known: (agency) => claims.known(agency),
    commit: (group) =>
      Effect.uninterruptible(Effect.suspend(() => {
        underWay++
        idle.closeUnsafe()
        return Effect.ensuring(
          commit(group),
          Effect.sync(() => {
            underWay--
            if (underWay === 0) idle.openUnsafe()
          })
        )
      }))
  }
})

const failUnavailable = (problem: string): Effect.Effect<never, LedgerUnavailable> =>
  Effect.fail(unavailable("commit", problem))

/** Another session may be better off: this one is with a standby, or a pooler has lost what was prepared for it. */
const isOfSession = (code: string): boolean => code === "25006" || code.startsWith("26")

/**
 * A commit must not be ended by the server: what cancels it also ends its wait for the standby. A group is unnested in
 * memory: beyond it, PostgreSQL would write it to a temporary file first. The plans are the same whatever PostgreSQL knows of the
 * tables: of a lottery that has just begun it knows nothing, and would compare all agencies with the whole group.
 */
const settings = {
  statement_timeout: "0",
  lock_timeout: "0",
  work_mem: "32MB",
  enable_seqscan: "off",
  enable_bitmapscan: "off",
  enable_nestloop: "off"
} as const

/** The step of a loop: opens a session in a place, and waits for its loss. */
const keepSession = (
  { answerMs, link, lottery, reopen }: CommitLaneOptions,
  sessions: CommitLaneSessions,
  claims: CommitLaneClaims
): Effect.Effect<void> => {
  let failures = 0
  const place = sessions.place()
  const serve = Effect.gen(function*() {
    const session = yield* CommitLaneSession.open(
      { ...link, settings: { ...link.settings, ...settings } },
      [storeStatement, probeStatement, lostStatement],
      answerMs
    )
    // What was connected to is not always what was there before.
    const { acknowledged } = claims
    if (acknowledged.length > 0) {
      const { rows } = yield* session.ask(lostMessages(session.messages, lottery, acknowledged))
      claims.fence(rows)
    }
    const openedAt = performance.now()
    place.opened(session)
    const { problem } = yield* session.lost
    const lasted = performance.now() - openedAt > reopen.maxMs
    return lasted ? undefined : problem
  })
  return Effect.gen(function*() {
    if (failures > 0) yield* Effect.sleep(backoffMs(failures, reopen))
    const problem = yield* Effect.catch(
      Effect.scoped(serve),
      (error) => Effect.succeed(error._tag === "SqlError" ? describeSql(error) : error.problem)
    )
    failures = problem === undefined ? 0 : failures + 1
    if (problem !== undefined) place.failed(problem)
  })
}
