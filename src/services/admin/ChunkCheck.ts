/** Checks the chunks of a ledger one by one, wherever they are stored, and keeps what the ledger's claims are compared with. */
import { fieldsOfRecord, splitRecords } from "../../domain/BetRecord.ts"
import { betFields, invalidField } from "../../domain/BetRules.ts"
import { nothingStored, type Standing } from "../../domain/Standing.ts"
import type { AddProblem, Claims } from "./DrawCheck.ts"
import type { StoredChunk } from "./StoredLedger.ts"

export class ChunkCheck {
  count = 0
  bets = 0
  readonly standings = new Map<number, Standing>()
  /** The documents of the winning bets of each agency, in order. */
  readonly winners = new Map<number, Array<string>>()
  readonly #claims: Claims
  readonly #add: AddProblem

  constructor(claims: Claims, add: AddProblem) {
    this.#claims = claims
    this.#add = add
  }

  /** An agency's chunks come in their order. `isIntact`: its checksum is the one that was stored. */
  check(chunk: StoredChunk, isIntact: boolean): void {
    const { agency, bets, last, seq } = chunk
    const place = `agency ${agency}, chunk ${seq}`
    if (!this.#claims.roster.has(agency)) this.#add(`${place}: the agency is not in the roster`)
    const before = this.standings.get(agency) ?? nothingStored
    if (seq !== before.seq + 1) this.#add(`${place}: comes after chunk ${before.seq}`)
    if (before.finished) this.#add(`${place}: comes after the agency's last chunk`)
    if (!isIntact) this.#add(`${place}: its bytes are not those that were stored`)
    this.#checkBets(place, chunk)
    this.standings.set(agency, {
      seq: Math.max(seq, before.seq),
      bets: before.bets + bets,
      finished: before.finished || last
    })
    this.count++
    this.bets += bets
  }

  #checkBets(place: string, { agency, bets, body, numbers }: StoredChunk): void {
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
      const bet = `${place}, bet ${index + 1}`
      const problem = fields.length === betFields.length
        ? invalidField(fields)
        : `number of fields, ${fields.length},`
      if (problem !== undefined) {
        this.#add(`${bet}: its ${problem} breaks the rule`)
        continue
      }
      const [, , document = "", , number] = fields
      const drawn = numberAt(numbers, index)
      if (drawn !== undefined && drawn !== Number(number)) {
        this.#add(`${bet}: its number is not the one that the draw looks at`)
      }
      if (Number(number) === this.#claims.winningNumber) this.#addWinner(agency, document)
    }
  }

  #addWinner(agency: number, document: string): void {
    const documents = this.winners.get(agency)
    if (documents === undefined) this.winners.set(agency, [document])
    else documents.push(document)
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** The text before, between and after the line feeds; undefined when the body isn't UTF-8. */
const linesOf = (body: Uint8Array): Array<string> | undefined => {
  try {
    return splitRecords(utf8.decode(body))
  } catch {
    return undefined
  }
}

/** The number of a bet as the draw reads it; undefined when there are fewer numbers. */
const numberAt = (numbers: Uint8Array, index: number): number | undefined => {
  const [high, low = 0] = numbers.subarray(2 * index, 2 * index + 2)
  return high === undefined ? undefined : high * 256 + low
}
