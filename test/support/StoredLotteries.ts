/** Fills a lottery of a database with SQL, as servers would have. The lottery must have begun. */
import type { ToldRecord } from "../../src/domain/Draw.ts"
import { chunkChecksum } from "../../src/services/ledger/ChunkChecksum.ts"
import { rowChecksum } from "../../src/services/ledger/RowChecksum.ts"
import type { Postgres } from "./Postgres.ts"

interface Chunk {
  readonly agency: number
  readonly seq: number
  readonly last: boolean
  readonly bets: number
  readonly numbers: Uint8Array
  readonly body: Uint8Array
}

/** `draw` names the lottery. */
export class StoredLottery {
  readonly #postgres: Postgres
  readonly #url: string
  readonly #draw: string
  readonly #totals = new Map<number, number>()

  constructor(postgres: Postgres, url: string, draw: string) {
    this.#postgres = postgres
    this.#url = url
    this.#draw = draw
  }

  /** `$1` is the lottery's id, if the statement has it. */
  async query(statement: string, ...parameters: ReadonlyArray<unknown>) {
    const [row] = await this.#postgres.query(
      "SELECT id FROM lottery WHERE draw = $1",
      [this.#draw],
      this.#url
    )
    const all = statement.includes("$1") ? [row?.["id"], ...parameters] : parameters
    return this.#postgres.query(statement, all, this.#url)
  }

  /** In one transaction, under epoch 1, with the mark of those that finish. */
  async store(chunks: ReadonlyArray<Chunk>): Promise<void> {
    const rows = chunks.map(({ agency, bets, body, last, numbers, seq }) => {
      const total = (this.#totals.get(agency) ?? 0) + bets
      this.#totals.set(agency, total)
      return {
        agency,
        seq,
        last,
        bets,
        total,
        checksum: chunkChecksum(agency, seq, last ? 1 : 0, bets, numbers, body),
        numbers: Buffer.from(numbers).toString("hex"),
        body: Buffer.from(body).toString()
      }
    })
    await this.query(
      `WITH stored AS (
         INSERT INTO chunk (lottery, agency, seq, epoch, last, bets, total, checksum, numbers, body)
         SELECT $1, agency, seq, 1, last, bets, total, checksum, decode(numbers, 'hex'), body
         FROM jsonb_to_recordset($2::text::jsonb) c (
           agency bigint, seq bigint, last boolean, bets integer, total bigint, checksum bigint, numbers text, body text
         ) RETURNING agency, last
       ) UPDATE agency a SET epoch = 1, finished = s.last
         FROM (SELECT agency, bool_or(last) AS last FROM stored GROUP BY agency) s
         WHERE a.lottery = $1 AND a.agency = s.agency`,
      JSON.stringify(rows)
    )
  }

  async hold(
    winningNumber: number,
    winners: ReadonlyMap<number, ReadonlyArray<string>>
  ): Promise<void> {
    const rows = [...winners].flatMap(([agency, documents]) =>
      documents.map((document, index) => {
        const position = index + 1
        return { agency, position, document, checksum: rowChecksum(agency, position, document) }
      })
    )
    await this.query(
      "INSERT INTO draw (lottery, winning_number, winners, checksum) VALUES ($1, $2, $3, $4)",
      winningNumber,
      BigInt(rows.length),
      BigInt(rowChecksum(winningNumber, rows.length))
    )
    await this.query(
      `INSERT INTO winner (lottery, agency, position, document, checksum)
       SELECT $1, agency, position, document, checksum FROM jsonb_to_recordset($2::text::jsonb)
       w (agency bigint, position bigint, document text, checksum bigint)`,
      JSON.stringify(rows)
    )
    await this.query("UPDATE lottery SET held_at = now() WHERE id = $1")
  }

  async told({ address, agency, at, how, port, served }: ToldRecord): Promise<void> {
    await this.query(
      "INSERT INTO told (lottery, agency, how, told_at, address, port, served, checksum) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
      BigInt(agency),
      how,
      at,
      address,
      port,
      served,
      BigInt(rowChecksum(agency, how, at, address, port, served ? 1 : 0))
    )
  }
}
