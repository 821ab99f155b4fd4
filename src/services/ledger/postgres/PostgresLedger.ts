/**
 * The ledger in a PostgreSQL database, which any number of servers may open at once. PostgreSQL decides between them: an
 * agency's epoch says who may store for it, and the key of a chunk that it is stored once.
 */
import { Effect, Layer } from "effect"
import type { AgencyId } from "../../../domain/Agency.ts"
import { invariant } from "../../../domain/Invariant.ts"
import { type PostgresUrl, showPostgresUrl } from "../../base/PostgresUrl.ts"
import { BetLedger } from "../BetLedger.ts"
import { readsOf } from "./ChunkReads.ts"
import { Claims } from "./Claims.ts"
import { text } from "./Columns.ts"
import { openCommitLane } from "./CommitLane.ts"
import { holdDrawOf } from "./DrawHolding.ts"
import { DrawRows } from "./DrawRows.ts"
import { type LinkOptions, LinkPool } from "./Links.ts"
import { migrate } from "./Migrations.ts"
import { openNews } from "./News.ts"
import { type LotteryConfig, openLottery, replacedProblem } from "./OpenLottery.ts"
import { checkServer } from "./ServerCheck.ts"
import { notOpened } from "./SqlFailures.ts"
import { readHeld, standingOf } from "./StandingRows.ts"
import { toldOf } from "./ToldRows.ts"

interface Bounds {
  /** Groups under way at once. */
  readonly groupsMax: number
  /** How often the database is asked for what other servers have changed. */
  readonly pollMs: number
  /** A connection must be open within this time. */
  readonly connectMs: number
  /** A claim waits as long for those who store for its agency, or claim it. */
  readonly claimLockMs: number
  /** An answer must be there within this time; of a commit that is not, nothing is known. */
  readonly answerMs: number
}

const defaults: Bounds = {
  groupsMax: 2,
  pollMs: 1000,
  connectMs: 5000,
  claimLockMs: 2000,
  answerMs: 5000
}

export interface PostgresLedgerOptions extends LotteryConfig, Partial<Bounds> {
  readonly url: PostgresUrl
  /** What this server is called in the database: no two servers have one name. */
  readonly server: string
  /** Called when the database can't be reached, with why, when that changes, and when it can again (undefined). */
  readonly onTrouble?: (problem: string | undefined) => void
  /** Called when an agency couldn't be claimed, with why. */
  readonly onUnclaimed?: (agency: AgencyId, problem: string) => void
  /** Called at every poll once the lottery was begun anew with other values. The server must stop. */
  readonly onReplaced?: (problem: string) => void
}

/** Connections for reads, and for what is seldom written. */
const linksMax = 4

/**
 * Chunks are read along their key, slice after slice. While a lottery is too new for statistics, PostgreSQL would collect
 * all chunks that are left, and sort them, for each slice: with 20,000 chunks a slice took 260 ms instead of 14.
 */
const alongKeys = { enable_bitmapscan: "off" }

/** Opens the ledger until the scope ends. */
export const openPostgresLedger = Effect.fnUntraced(function*(options: PostgresLedgerOptions) {
  const {
    onReplaced = () => {},
    onTrouble = () => {},
    onUnclaimed = () => {},
    ...given
  } = options
  const { claimLockMs, server, url, ...bounds } = { ...defaults, ...given }
  const { answerMs, connectMs, groupsMax, pollMs } = bounds
  const shown = showPostgresUrl(url)
  const link: LinkOptions = { url, connectMs, applicationName: `loteria ${server}` }
  const links = yield* LinkPool.make({ ...link, linksMax, answerMs, settings: alongKeys })
  const { checksum, drawName, held, id: lottery, isNew } = yield* Effect.gen(function*() {
    yield* checkServer(links, shown)
    yield* migrate(links, link, shown)
    const found = yield* openLottery(links, options, shown)
    return { ...found, held: yield* readHeld(links, found.id) }
  }).pipe(Effect.catchTag("LedgerUnavailable", notOpened(shown)))

  const roster = new Map<number, AgencyId>(options.roster.map((agency) => [agency, agency]))
  const channel = yield* channelOf(links, lottery)
  const lane = yield* openCommitLane({
    link,
    lottery,
    server,
    groupsMax,
    answerMs,
    reopen: { firstMs: 50, maxMs: 5000 }
  })
  const claimLinks = yield* LinkPool.make({
    ...link,
    linksMax: 1,
    answerMs,
    settings: { lock_timeout: String(claimLockMs) }
  })
  const identity = { lottery, checksum, server, channel }
  const claims = new Claims({ ...identity, links: claimLinks })
  const draws = new DrawRows(links, lottery, roster)
  const news = yield* openNews({
    ...identity,
    link,
    links,
    roster,
    pollMs,
    answerMs: connectMs,
    onTrouble,
    onReplaced: () => onReplaced(replacedProblem)
  })

  return BetLedger.of({
    opened: { drawName, isNew, ...held },
    groupsMax,
    claim: (agency) =>
      Effect.suspend(() => {
        invariant(roster.has(agency), "an agency of the roster is claimed")
        return claims.claim(agency)
      }).pipe(
        Effect.tap((claim) => Effect.sync(() => lane.give(agency, claim))),
        Effect.tapError(({ message }) => Effect.sync(() => onUnclaimed(agency, message)))
      ),
    commit: lane.commit,
    ...readsOf(links, lottery),
    standing: standingOf(links, lottery, roster, draws),
    news,
    holdDraw: holdDrawOf({ ...identity, links, roster: options.roster, draws }),
    ...toldOf(links, lottery, roster)
  })
})

export const postgresLedgerLayer = (options: PostgresLedgerOptions) =>
  Layer.effect(BetLedger, openPostgresLedger(options))

/** A channel is the whole database's: this one is of these tables and this lottery. */
const channelOf = (links: LinkPool, lottery: number) =>
  Effect.map(
    links.use("open", (connection) =>
      connection.query(
        "SELECT 'loteria_' || 'lottery'::regclass::oid || '_' || $1::bigint AS name",
        [
          BigInt(lottery)
        ]
      )),
    ({ rows: [row] }) => text(row, "name")
  )
