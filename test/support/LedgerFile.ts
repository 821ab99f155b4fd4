/** A ledger as an operator sees it: plain SQL over the file, read-only, also while the server runs. */
import { DatabaseSync } from "node:sqlite"

export class LedgerFile implements Disposable {
  readonly #database: DatabaseSync

  constructor(path: string) {
    this.#database = new DatabaseSync(path, { readOnly: true, timeout: 5000 })
  }

  /** The agency's bets in the order stored, as payload items. */
  betsOf(agency: number): ReadonlyArray<string> {
    return this.#database.prepare(
      `SELECT concat_ws(',', first_name, last_name, document, birthdate, number) AS bet
       FROM bet WHERE agency = ? ORDER BY chunk, position`
    ).all(agency).map((row) => String(row["bet"]))
  }

  /** How many bets each agency has; agencies without any are absent. */
  counts(): ReadonlyMap<number, number> {
    const rows = this.#database
      .prepare("SELECT agency, count(*) AS bets FROM bet GROUP BY agency ORDER BY agency").all()
    return new Map(rows.map((row) => [Number(row["agency"]), Number(row["bets"])]))
  }

  /** The agency's stored chunk numbers, in order. */
  seqs(agency: number): ReadonlyArray<number> {
    return this.#database.prepare("SELECT seq FROM chunk WHERE agency = ? ORDER BY id").all(agency)
      .map((row) => Number(row["seq"]))
  }

  /** The agencies whose last chunk is stored. */
  finished(): ReadonlyArray<number> {
    return this.#database.prepare("SELECT agency FROM chunk WHERE last = 1 ORDER BY agency").all()
      .map((row) => Number(row["agency"]))
  }

  [Symbol.dispose](): void {
    this.#database.close()
  }
}

/** The rows of a query over a ledger's file, each as its values in order. */
export const query = (path: string, sql: string) => {
  using database = new DatabaseSync(path, { readOnly: true })
  return database.prepare(sql).all().map((row) => Object.values(row))
}
