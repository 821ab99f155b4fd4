/**
 * What other servers change. Notifications come at once, but carry no truth and can be missed: PostgreSQL keeps none for
 * who isn't connected, and a pooler between may not pass them on. So the database is also asked every poll interval, which
 * is what a missed one costs, and whether it can be reached at all is noticed then too.
 */
import { Effect, PubSub, Queue, Stream } from "effect"
import type { AgencyId } from "../../../domain/Agency.ts"
import { Epoch } from "../../../domain/Claim.ts"
import { type BackoffBounds, backoffMs } from "../../base/Backoff.ts"
import { Keeper } from "../../base/Keeper.ts"
import type { News } from "../BetLedger.ts"
import { flag } from "./Columns.ts"
import { type LinkOptions, type LinkPool, openLink } from "./Links.ts"
import { replacedProblem } from "./OpenLottery.ts"
import { unavailable } from "./SqlFailures.ts"

export interface NewsOptions {
  readonly link: LinkOptions
  readonly links: LinkPool
  readonly lottery: number
  /** Of its values. */
  readonly checksum: number
  readonly server: string
  readonly channel: string
  readonly roster: ReadonlyMap<number, AgencyId>
  readonly pollMs: number
  /** The longest that the database may take to be reached. */
  readonly answerMs: number
  /** Called when the database can't be reached, with why, when that changes, and when it can again (undefined). */
  readonly onTrouble: (problem: string | undefined) => void
  /** Called at every poll once the lottery was begun anew with other values. The server must stop. */
  readonly onReplaced: () => void
}

/** Who takes them slower than that is told by the next poll. */
const waitingMax = 65_536

/** Between attempts to listen. */
const listenAgain: BackoffBounds = { firstMs: 100, maxMs: 10_000 }

const question = `SELECT pg_is_in_recovery() AS is_standby, checksum = $2::bigint AS is_same
  FROM lottery WHERE id = $1::bigint`

const changed: News = { _tag: "Changed" }

/** Listens and polls until the scope ends. */
export const openNews = Effect.fnUntraced(function*(options: NewsOptions) {
  const { checksum, links, lottery, onReplaced, onTrouble, pollMs } = options
  const keeper = yield* Keeper
  const pubsub = yield* Effect.acquireRelease(PubSub.sliding<News>(waitingMax), PubSub.shutdown)
  const publish = (news: News) => PubSub.publishUnsafe(pubsub, news)

  let told: string | undefined
  const trouble = (problem: string | undefined) => {
    if (problem === told) return
    told = problem
    onTrouble(problem)
  }
  const poll = links.use("poll", (connection) =>
    Effect.flatMap(
      connection.query(question, [BigInt(lottery), BigInt(checksum)]),
      ({ rows: [row] }) => {
        if (row === undefined) return unavailable("poll", "the lottery is not there any more")
        if (!flag(row, "is_same")) {
          onReplaced()
          return unavailable("poll", replacedProblem)
        }
        return flag(row, "is_standby")
          ? unavailable("poll", "it is a standby, which can only be read")
          : Effect.void
      }
    ), options.answerMs)
  yield* keeper.loop(
    "poll of the database",
    Effect.sleep(pollMs).pipe(
      Effect.andThen(poll),
      Effect.matchEffect({
        onFailure: ({ problem }) => Effect.sync(() => trouble(problem)),
        onSuccess: () =>
          Effect.sync(() => {
            trouble(undefined)
            publish(changed)
          })
      })
    )
  )
  yield* keeper.loop("notifications of the database", listening(options, publish))
  return Stream.fromPubSub(pubsub)
})

/** Opens a connection to listen on, and takes what comes until it is lost. */
const listening = (options: NewsOptions, publish: (news: News) => void) => {
  const { channel, link } = options
  let failures = 0
  const listen = Effect.scoped(Effect.gen(function*() {
    const { connection, cut } = yield* openLink(link)
    const queue = yield* connection.listen(channel)
    // The library would say that it listens no more, and wait for an answer: from a silent database none comes.
    yield* Effect.addFinalizer(() => Effect.sync(cut))
    failures = 0
    // Something may have been missed before.
    publish(changed)
    yield* Effect.forever(Effect.map(Queue.take(queue), ({ payload }) => {
      const news = newsOf(payload, options)
      if (news !== undefined) publish(news)
    }))
  }))
  return Effect.catchTag(listen, "SqlError", () =>
    Effect.suspend(() => {
      failures++
      return Effect.sleep(backoffMs(failures, listenAgain))
    }))
}

/** Undefined for what this server has done itself. A notification that isn't understood is of a newer version. */
const newsOf = (
  payload: string,
  { roster, server }: Pick<NewsOptions, "roster" | "server">
): News | undefined => {
  const claimed = /^claimed (\d+) (\d+) (.*)$/s.exec(payload)
  if (claimed === null) return changed
  const [, number, epoch, by] = claimed
  const agency = roster.get(Number(number))
  if (by === server || agency === undefined) return undefined
  return { _tag: "Claimed", agency, epoch: Epoch.make(Number(epoch)) }
}
