/**
 * `ledger verify` for a lottery in a database: checks it against everything that it promises: an agency's row for each
 * agency of the roster, epochs that only grow, running totals, finished marks, and what ChunkCheck and DrawCheck check of
 * every ledger. It checks what was there when it began, piece by piece.
 */
import { Effect, Option } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { describeSql, failSql, serverErrorOf } from "../ledger/postgres/SqlFailures.ts"
import { ChunkCheck } from "./ChunkCheck.ts"
import {
  beforeAll,
  type ChunkPlace,
  type DatabaseChunk,
  isIntact,
  readPiece
} from "./DatabaseChunks.ts"
import {
  type AgencyRow,
  readAgencies,
  readHeldDraw,
  readTold,
  requireLottery
} from "./DatabaseLottery.ts"
import { type Database, inSnapshot, openDatabase } from "./DatabaseReader.ts"
import { type AddProblem, type Claims, compareDraw } from "./DrawCheck.ts"
import type { DatabaseAddress } from "./LedgerAddress.ts"
import { agenciesOf } from "./StoredLedger.ts"
import { Problems } from "./Verification.ts"

export const verifyDatabase = Effect.fnUntraced(function*({ draw, url }: DatabaseAddress) {
  const database = yield* openDatabase(url)
  const problems = new Problems()
  const claims = yield* readClaims(database, draw, problems.add)
  const check = new DatabaseCheck(claims, problems.add)
  let after: ChunkPlace | undefined = beforeAll
  while (after !== undefined) {
    const from: ChunkPlace = after
    const piece: Option.Option<ReadonlyArray<DatabaseChunk>> = yield* database.links.attempt(
      (connection) => Effect.asSome(readPiece(connection, claims.lottery, from))
    ).pipe(
      Effect.catchTag("SqlError", (error) => {
        if (!isDamage(error)) return failSql("verify")(error)
        const place = `agency ${from.agency}, chunk ${from.seq}`
        problems.add(`what follows ${place} can't be read: ${describeSql(error)}`)
        return Effect.succeedNone
      })
    )
    if (Option.isNone(piece)) break
    for (const chunk of piece.value) check.check(chunk)
    after = piece.value.at(-1)
    if (after === undefined) check.end()
  }
  return problems.verification(check.chunks, claims.draw !== undefined)
}, Effect.scoped)

/** What PostgreSQL says of a page that it can't read: its checksum, its header, or a lost file. */
const isDamage = (error: SqlError): boolean => {
  const code = serverErrorOf(error)?.code
  return code?.startsWith("XX") === true || code === "58P01" || code === "58030"
}

interface DatabaseClaims extends Claims {
  readonly lottery: number
  readonly agencies: ReadonlyMap<number, AgencyRow>
}

const readClaims = (database: Database, draw: string | undefined, add: AddProblem) =>
  inSnapshot(database, "verify", (connection) =>
    Effect.gen(function*() {
      const lottery = yield* requireLottery(connection, database.name, draw)
      if (!lottery.isIntact) add("the lottery is not the one that began")
      const roster = agenciesOf(lottery)
      if (roster.length === 0) add("the ledger doesn't say which agencies it waits for")
      const { held, rows } = yield* readHeldDraw(connection, lottery, add)
      const claims: DatabaseClaims = {
        lottery: lottery.id,
        agencies: yield* readAgencies(connection, lottery.id),
        roster: new Set(roster),
        winningNumber: lottery.winningNumber,
        draw: held && { winningNumber: held.draw.winningNumber, winners: held.winners },
        told: yield* readTold(connection, lottery.id, add),
        winnerRows: rows
      }
      return claims
    }))

class DatabaseCheck {
  readonly chunks: ChunkCheck
  readonly #claims: DatabaseClaims
  readonly #add: AddProblem
  #agency = 0
  #epoch = 0

  constructor(claims: DatabaseClaims, add: AddProblem) {
    this.#claims = claims
    this.#add = add
    this.chunks = new ChunkCheck(claims, add)
    for (const agency of claims.roster) {
      if (!claims.agencies.has(agency)) add(`agency ${agency}: has no row`)
    }
    for (const agency of claims.agencies.keys()) {
      if (!claims.roster.has(agency)) add(`agency ${agency}: has a row, and is not in the roster`)
    }
  }

  /** Chunks come by agency, then in their order. */
  check(chunk: DatabaseChunk): void {
    const { agency, epoch, seq, total } = chunk
    const claimed = this.#claims.agencies.get(agency)
    // Stored since the check began.
    if (claimed !== undefined && seq > claimed.standing.seq) return
    const place = `agency ${agency}, chunk ${seq}`
    if (agency !== this.#agency) {
      this.#agency = agency
      this.#epoch = 0
    }
    if (epoch < this.#epoch) {
      this.#add(`${place}: was stored under epoch ${epoch}, after one of ${this.#epoch}`)
    }
    this.#epoch = epoch
    if (claimed !== undefined && epoch > claimed.epoch) {
      this.#add(`${place}: was stored under epoch ${epoch}, and its agency has ${claimed.epoch}`)
    }
    this.chunks.check(chunk, isIntact(chunk))
    const bets = this.chunks.standings.get(agency)?.bets ?? 0
    if (total !== bets) {
      this.#add(`${place}: says that the agency has ${total} bets, there are ${bets}`)
    }
  }

  /** All chunks were checked. */
  end(): void {
    for (const [agency, { standing }] of this.#claims.agencies) {
      const found = this.chunks.standings.get(agency)
      if (standing.finished !== (found?.finished ?? false)) {
        this.#add(
          `agency ${agency}: is ${
            standing.finished ? "" : "not "
          }marked as finished, and its last chunk is ${standing.finished ? "not there" : "there"}`
        )
      }
      // A chunk can't be looked up, but is there: its index is damaged.
      if ((found?.seq ?? 0) < standing.seq) {
        this.#add(`agency ${agency}: chunk ${standing.seq} is not among its chunks`)
      }
    }
    compareDraw(this.#claims, this.chunks, this.#add)
  }
}
