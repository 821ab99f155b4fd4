/** Which ledger a command works on. */
import { type PostgresUrl, showPostgresUrl } from "../base/PostgresUrl.ts"

/** A lottery in a PostgreSQL database. */
export interface DatabaseAddress {
  readonly url: PostgresUrl
  /** Of several lotteries the one whose draw has this name; undefined: the one that began last. */
  readonly draw: string | undefined
}

/** A file, by its path; or a lottery in a database. */
export type LedgerAddress = string | DatabaseAddress

/** For messages: without the password. */
export const nameOf = (address: LedgerAddress): string =>
  typeof address === "string" ? address : showPostgresUrl(address.url)
