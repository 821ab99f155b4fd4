/**
 * Checks a ledger against everything that it promises: SQLite's own structure, chunks without gaps, counts that agree
 * with what is counted, bets that keep their rules, a snapshot, and a draw whose winners a fresh scan finds as well. It
 * looks at what was there when it began, in slices of which each is a short transaction: chunks are only ever
 * added, and a server that writes meanwhile is not held up. A problem names its place and never a bettor's data.
 */
import { Option } from "effect"
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { parseRoster } from "../../domain/Agency.ts"
import { fieldsOfRecord, splitRecords } from "../../domain/BetRecord.ts"
import { betFields, invalidField } from "../../domain/BetRules.ts"
import { nothingStored, type Standing } from "../../domain/Intake.ts"
import { agenciesCeiling } from "../../domain/Limits.ts"
import { chunkColumns, chunkOf, type ChunkRow, isIntact } from "../ledger/sqlite/ChunkTable.ts"
import { integer, text } from "../ledger/sqlite/Columns.ts"
import { type DrawRecord, readDraw } from "../ledger/sqlite/DrawTable.ts"
import { LedgerProblem, toFailure } from "../ledger/sqlite/LedgerProblem.ts"
import { readLottery } from "../ledger/sqlite/LotteryTable.ts"
import { readSnapshot, readSnapshotEnd } from "../ledger/sqlite/SnapshotTable.ts"
import { resultCode } from "../ledger/sqlite/SqliteCodes.ts"
import { readTold, type ToldRecord } from "../ledger/sqlite/ToldTable.ts"

export interface Verification {
  readonly chunks: number
  readonly bets: number
  /** How many agencies have sent, and how many have finished. */
  readonly agencies: number
  readonly finished: number
  readonly drawHeld: boolean
  /** How many problems there are. */
  readonly problemCount: number
  /** The first of them. */
  readonly problems: ReadonlyArray<string>
}

/** More problems than this are only counted. */
const problemsMax = 100
/** A slice ends when it has read this much. */
const sliceBytes = 1024 * 1024

/** What the ledger says about itself, read in one transaction. */
interface Claims {
  readonly roster: ReadonlySet<number>
  readonly winningNumber: number
  readonly lastChunk: number
  readonly snapshotEnd: number
  readonly snapshot: ReadonlyMap<number, Standing>
  readonly draw: DrawRecord | undefined
  readonly told: ReadonlyMap<number, ToldRecord>
  readonly winnerRows: number
}

export class LedgerCheck {
  readonly #db: DatabaseSync
  readonly #problems: Array<string> = []
  #problemCount = 0
  #claims: Claims | undefined
  #slice: StatementSync | undefined
  /** The last row of `chunk` that was looked at. */
  #place = 0
  #chunks = 0
  #bets = 0
  #snapshotCompared = false
  readonly #standings = new Map<number, Standing>()
  readonly #winners = new Map<number, Array<string>>()

  constructor(db: DatabaseSync) {
    this.#db = db
  }

  /** Looks at the next part; false when there is none left. Throws when the ledger can't be read at the moment. */
  next(): boolean {
    try {
      return this.#next()
    } catch (error) {
      const failure = toFailure(error)
      const ofTheFile = resultCode(error) !== undefined || error instanceof LedgerProblem
      if (!ofTheFile || failure.kind === "Unavailable") throw error
      const message = failure.kind === "Unreadable"
        ? failure.problem
        : error instanceof LedgerProblem && failure.kind === "Defect"
        ? failure.message
        : error instanceof Error
        ? error.message
        : "?"
      this.#add(`what follows chunk row ${this.#place} can't be read: ${message}`)
      return false
    }
  }

  get result(): Verification {
    return {
      chunks: this.#chunks,
      bets: this.#bets,
      agencies: this.#standings.size,
      finished: [...this.#standings.values()].filter(({ finished }) => finished).length,
      drawHeld: this.#claims?.draw !== undefined,
      problemCount: this.#problemCount,
      problems: this.#problems
    }
  }

  #add(problem: string): void {
    if (++this.#problemCount <= problemsMax) this.#problems.push(problem)
  }

  #next(): boolean {
    if (this.#claims === undefined) {
      this.#checkStructure()
      this.#claims = this.#readClaims()
      this.#slice = this.#db.prepare(
        `SELECT ${chunkColumns} FROM chunk WHERE id > ? AND id <= ? ORDER BY id`
      )
      return true
    }
    if (this.#checkSlice(this.#claims)) return true
    this.#compareSnapshot(this.#claims)
    this.#compareDraw(this.#claims)
    return false
  }

  #checkStructure(): void {
    for (const row of this.#db.prepare(`PRAGMA integrity_check(${problemsMax})`).iterate()) {
      const message = text(row, "integrity_check")
      if (message !== "ok") this.#add(`SQLite: ${message}`)
    }
  }

  #readClaims(): Claims {
    this.#db.exec("BEGIN")
    try {
      const one = (sql: string) => integer(this.#db.prepare(sql).get(), "value")
      const lottery = readLottery(this.#db, (problem) => this.#add(problem))
      const roster = parseRoster(lottery?.roster ?? "", agenciesCeiling)
      if (lottery === undefined || Option.isNone(roster)) {
        this.#add("the ledger doesn't say which lottery it is of")
      }
      return {
        roster: new Set(Option.getOrElse(roster, () => [])),
        winningNumber: lottery?.winningNumber ?? -1,
        lastChunk: one("SELECT coalesce(max(id), 0) AS value FROM chunk"),
        snapshotEnd: readSnapshotEnd(this.#db),
        snapshot: readSnapshot(this.#db, (problem) => this.#add(problem)),
        draw: readDraw(this.#db, (problem) => this.#add(problem)),
        told: readTold(this.#db, (problem) => this.#add(problem)),
        winnerRows: one("SELECT count(*) AS value FROM winner")
      }
    } finally {
      this.#db.exec("COMMIT")
    }
  }

  /** False when the last chunk has been looked at. */
  #checkSlice(claims: Claims): boolean {
    let bytes = 0
    for (const row of this.#slice?.iterate(this.#place, claims.lastChunk) ?? []) {
      const chunk = chunkOf(row)
      if (chunk.id > claims.snapshotEnd) this.#compareSnapshot(claims)
      this.#checkRow(chunk, claims)
      this.#place = chunk.id
      bytes += chunk.body.length
      if (bytes >= sliceBytes) return true
    }
    return false
  }

  #checkRow(chunk: ChunkRow, claims: Claims): void {
    const { agency, bets, id, last, seq } = chunk
    const place = `agency ${agency}, chunk ${seq}`
    // Row ids are the order of commits, without gaps: a row that is missing at the end of an agency shows only here.
    if (id !== this.#place + 1) this.#add(`chunk rows ${this.#place + 1} to ${id - 1} are missing`)
    if (!claims.roster.has(agency)) this.#add(`${place}: the agency is not in the roster`)
    const known = this.#standings.get(agency) ?? nothingStored
    if (seq !== known.seq + 1) this.#add(`${place}: comes after chunk ${known.seq}`)
    if (known.finished) this.#add(`${place}: comes after the agency's last chunk`)
    if (!isIntact(chunk)) this.#add(`${place}: its bytes are not those that were stored`)
    if (last !== 0 && last !== 1) this.#add(`${place}: "last" is ${last}`)
    this.#standings.set(agency, {
      seq: Math.max(seq, known.seq),
      bets: known.bets + bets,
      finished: known.finished || last === 1
    })
    this.#chunks++
    this.#bets += bets
    this.#checkBets(place, chunk, claims.winningNumber)
  }

  #checkBets(place: string, chunk: ChunkRow, winningNumber: number): void {
    const { agency, bets, body, numbers } = chunk
    if (numbers.length !== 2 * bets) {
      this.#add(`${place}: is said to hold ${bets} bets, and has ${numbers.length / 2} numbers`)
    }
    const lines = linesOf(body)
    if (lines === undefined) return this.#add(`${place}: is not UTF-8`)
    if (lines.pop() !== "") this.#add(`${place}: its last bet is cut off`)
    if (lines.length !== bets) {
      this.#add(`${place}: is said to hold ${bets} bets, and holds ${lines.length}`)
    }
    for (const [index, line] of lines.entries()) {
      const fields = fieldsOfRecord(line)
      const problem = fields.length === betFields.length
        ? invalidField(fields)
        : `number of fields, ${fields.length},`
      if (problem !== undefined) {
        this.#add(`${place}, bet ${index + 1}: its ${problem} breaks the rule`)
        continue
      }
      const number = Number(fields[4])
      const kept = (numbers[2 * index] ?? 0) * 256 + (numbers[2 * index + 1] ?? 0)
      if (number !== kept && 2 * index < numbers.length) {
        this.#add(`${place}, bet ${index + 1}: its number is not the one that the draw looks at`)
      }
      if (number === winningNumber) {
        const known = this.#winners.get(agency)
        if (known === undefined) this.#winners.set(agency, [fields[2] ?? ""])
        else known.push(fields[2] ?? "")
      }
    }
  }

  /** Once, when what the snapshot covers has been looked at, and nothing else. */
  #compareSnapshot({ snapshot, snapshotEnd }: Claims): void {
    if (this.#snapshotCompared) return
    this.#snapshotCompared = true
    if (snapshotEnd > this.#place) {
      this.#add(`the snapshot covers chunk rows up to ${snapshotEnd}, the last is ${this.#place}`)
    }
    for (const agency of new Set([...snapshot.keys(), ...this.#standings.keys()])) {
      const said = snapshot.get(agency) ?? nothingStored
      const found = this.#standings.get(agency) ?? nothingStored
      if (
        said.seq !== found.seq || said.bets !== found.bets || said.finished !== found.finished
      ) {
        this.#add(
          `agency ${agency}: the snapshot says ${standingText(said)}, there are ${
            standingText(found)
          }`
        )
      }
    }
  }

  #compareDraw({ draw, roster, told, winnerRows, winningNumber }: Claims): void {
    for (const agency of told.keys()) {
      if (!roster.has(agency)) {
        this.#add(`agency ${agency} was told winners, and is not in the roster`)
      }
    }
    if (draw === undefined) {
      if (told.size > 0) this.#add("agencies were told their winners without a draw")
      if (winnerRows > 0) this.#add("there are winners without a draw")
      return
    }
    if (draw.winningNumber !== winningNumber) {
      this.#add(
        `the draw was held with ${draw.winningNumber}, the ledger began with ${winningNumber}`
      )
    }
    for (const agency of roster) {
      if (this.#standings.get(agency)?.finished !== true) {
        this.#add(`the draw was held, and agency ${agency} has not finished`)
      }
    }
    for (const agency of new Set([...draw.winners.keys(), ...this.#winners.keys()])) {
      const said = draw.winners.get(agency) ?? []
      const found = this.#winners.get(agency) ?? []
      const alike = said.length === found.length
        && said.every((document, index) => document === found[index])
      if (!alike) {
        this.#add(
          `agency ${agency}: its ${said.length} stored winners are not the ${found.length} of its bets`
        )
      }
    }
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** What stands before, between and after the line feeds; undefined when it isn't UTF-8. */
const linesOf = (body: Uint8Array): Array<string> | undefined => {
  try {
    return splitRecords(utf8.decode(body))
  } catch {
    return undefined
  }
}

const standingText = ({ bets, finished, seq }: Standing): string =>
  `${bets} bets in ${seq} chunks${finished ? ", finished" : ""}`
