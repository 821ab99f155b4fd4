/** A ledger in PostgreSQL as an operator sees it: plain SQL. */
import { randomUUID } from "node:crypto"
import type { Postgres } from "../support/Postgres.ts"

/** A database of one lottery. */
export class SharedLedger {
  readonly postgres: Postgres
  readonly database: string

  private constructor(postgres: Postgres, database: string) {
    this.postgres = postgres
    this.database = database
  }

  static async create(postgres: Postgres): Promise<SharedLedger> {
    const database = `lottery_${randomUUID().replaceAll("-", "")}`
    await postgres.createDatabase(database)
    return new SharedLedger(postgres, database)
  }

  /** The same, on a server that took the other's place. */
  on(postgres: Postgres): SharedLedger {
    return new SharedLedger(postgres, this.database)
  }

  /** For a server; `port` may be a proxy's. */
  url(port?: number): string {
    return this.postgres.url(this.database, port)
  }

  query(statement: string, parameters: ReadonlyArray<unknown> = []) {
    return this.postgres.query(statement, parameters, this.url())
  }

  /** A single number. */
  async number(statement: string): Promise<number> {
    const [row] = await this.query(`SELECT (${statement})::float8 AS number`)
    return Number(row?.["number"])
  }

  /** The agency's bets in the order stored, as payload items. */
  async betsOf(agency: number): Promise<ReadonlyArray<string>> {
    const rows = await this.query(
      `SELECT concat_ws(',', first_name, last_name, document, birthdate, number) AS bet
       FROM bet WHERE agency = $1 ORDER BY chunk, position`,
      [agency]
    )
    return rows.map((row) => String(row["bet"]))
  }

  /** How many bets each agency has; agencies without any are absent. */
  async counts(): Promise<ReadonlyMap<number, number>> {
    const rows = await this.query(
      "SELECT agency::float8, sum(bets)::float8 AS bets FROM chunk GROUP BY agency"
    )
    return new Map(rows.map((row) => [Number(row["agency"]), Number(row["bets"])]))
  }

  /** The agency's claims so far. */
  epochOf(agency: number): Promise<number> {
    return this.number(`SELECT epoch FROM agency WHERE agency = ${agency}`)
  }
}
