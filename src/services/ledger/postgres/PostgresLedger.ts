/**
 * The ledger in a PostgreSQL database, which any number of servers may open at once. PostgreSQL decides between them: an
 * agency's epoch says who may store for it, and the key of a chunk that it is stored once.
 */
import { Effect } from "effect"
import { type PostgresUrl, showPostgresUrl } from "../../base/PostgresUrl.ts"
import { type LinkOptions, LinkPool } from "./Links.ts"
import { migrate } from "./Migrations.ts"
import { type LotteryConfig, openLottery } from "./OpenLottery.ts"
import { checkServer } from "./ServerCheck.ts"

interface Bounds {
  /** A connection must be open within this time. */
  readonly connectMs: number
  /** An answer must be there within this time. */
  readonly answerMs: number
}

const defaults: Bounds = { connectMs: 5000, answerMs: 10_000 }

export interface PostgresLedgerOptions extends LotteryConfig, Partial<Bounds> {
  readonly url: PostgresUrl
  /** What this server is called in the database: another one there for each server. */
  readonly server: string
}

/** Connections for reads and for what is seldom written. */
const linksMax = 4

/** Opens the ledger until the scope ends. */
export const openPostgresLedger = Effect.fnUntraced(function*(options: PostgresLedgerOptions) {
  const { answerMs, connectMs, server, url } = { ...defaults, ...options }
  const shown = showPostgresUrl(url)
  const link: LinkOptions = { url, connectMs, applicationName: `loteria ${server}` }
  const links = yield* LinkPool.make({ ...link, linksMax, answerMs })
  yield* checkServer(links, shown)
  yield* migrate(links, link, shown)
  const lottery = yield* openLottery(links, options, shown)
  return { opened: lottery }
})
