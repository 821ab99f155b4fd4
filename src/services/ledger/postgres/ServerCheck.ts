/** Whether a PostgreSQL keeps what it confirms. One that is set up for speed only is refused, and the reason is named. */
import { Effect } from "effect"
import { LedgerUnfit } from "../BetLedger.ts"
import { integer, type Row } from "./Columns.ts"
import type { LinkPool } from "./Links.ts"
import { unavailable } from "./SqlFailures.ts"

const versionMin = 140_000

/** A distributed database that speaks PostgreSQL may not know a setting; then it has nothing to turn off. */
const question = `SELECT current_setting('server_version_num')::integer AS version,
  current_setting('server_version') AS version_name,
  current_setting('server_encoding') AS server_encoding,
  current_setting('fsync', true) AS fsync,
  current_setting('full_page_writes', true) AS full_page_writes,
  current_setting('synchronous_commit', true) AS synchronous_commit,
  pg_is_in_recovery() AS is_standby`

/** What each setting must be. What a pooler doesn't pass on is seen here too. */
const needed = {
  server_encoding: ["UTF8"],
  fsync: ["on"],
  full_page_writes: ["on"],
  synchronous_commit: ["on", "remote_apply"]
} as const

/** `shown` is the database's address for messages. */
export const checkServer = Effect.fnUntraced(function*(links: LinkPool, shown: string) {
  const [row] = (yield* links.use("open", (connection) => connection.query(question))).rows
  const problem = problemOf(row)
  if (problem !== undefined) return yield* new LedgerUnfit({ path: shown, problem })
  if (row?.["is_standby"] === true) {
    return yield* unavailable("open", "it is a standby, which can only be read")
  }
})

const problemOf = (row: Row | undefined): string | undefined => {
  if (integer(row, "version") < versionMin) {
    return `it is PostgreSQL ${String(row?.["version_name"])}; 14 or newer is needed`
  }
  for (const [name, allowed] of Object.entries(needed)) {
    const value = row?.[name]
    if (name === "server_encoding" && value !== allowed[0]) {
      return `its encoding is ${
        String(value)
      }: make a database with ENCODING 'UTF8', and begin the ledger in it`
    }
    if (value !== null && !allowed.some((one) => one === value)) {
      return `its setting ${name} is ${String(value)}, and must be ${allowed[0]}: `
        + "bets that were acknowledged could be lost or changed"
    }
  }
  return undefined
}
