/** `results --winners`: the bets that have won, with names, compared with the winners that the draw has stored. */
import { Effect, Stream } from "effect"
import type { DatabaseSync } from "node:sqlite"
import { lineFeed } from "../../domain/Ascii.ts"
import { fieldsOfRecord } from "../../domain/BetRecord.ts"
import { invariant } from "../../domain/Invariant.ts"
import type { ChunkRow } from "../ledger/sqlite/ChunkTable.ts"
import { damaged } from "../ledger/sqlite/LedgerProblem.ts"
import { chunksByAgency } from "./LedgerChunks.ts"
import { attempt, inTransaction, type LedgerFileError, openLedger } from "./ReadLedger.ts"
import { type HeldDraw, readHeldDraw, requireLottery } from "./StoredLottery.ts"

export interface WinningBet {
  readonly agency: number
  /** Among the agency's bets, from 1, in the order stored: its line in the agency's part of an export. */
  readonly position: number
  readonly document: string
  readonly firstName: string
  readonly lastName: string
}

export interface WinningBets {
  readonly drawName: string
  readonly draw: HeldDraw | undefined
  /** Empty until the draw. */
  readonly winners: ReadonlyArray<WinningBet>
}

export const winningBets = Effect.fn("WinningBets.winningBets")(function*(
  file: string
): Effect.fn.Return<WinningBets, LedgerFileError> {
  const { drawName, held } = yield* Effect.scoped(
    Effect.flatMap(
      openLedger(file),
      (db) => attempt("winners", file, () => inTransaction(db, () => readStored(db)))
    )
  )
  if (held === undefined) return { drawName, draw: undefined, winners: [] }
  const search = new WinnerSearch(held.draw.winningNumber)
  yield* Stream.runForEach(chunksByAgency("winners", file), (chunks) =>
    Effect.sync(() => {
      for (const chunk of chunks) search.add(chunk)
    }))
  yield* attempt("winners", file, () => compare(search.winners, held.winners))
  return { drawName, draw: held.draw, winners: search.winners }
})

const readStored = (db: DatabaseSync) => ({
  drawName: requireLottery(db).draw,
  held: readHeldDraw(db)
})

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

class WinnerSearch {
  readonly winners: Array<WinningBet> = []
  readonly #high: number
  readonly #low: number
  /** The agency of the chunk before, and how many of its bets came so far. */
  #agency = 0
  #bets = 0

  constructor(winningNumber: number) {
    this.#high = winningNumber >> 8
    this.#low = winningNumber & 0xff
  }

  /** Chunks come by agency, then in the order stored. */
  add({ agency, bets, body, numbers }: ChunkRow): void {
    invariant(agency >= this.#agency, "chunks come by agency")
    if (agency !== this.#agency) {
      this.#agency = agency
      this.#bets = 0
    }
    let line = 0
    let start = 0
    for (let index = 0; 2 * index < numbers.length; index++) {
      if (numbers[2 * index] !== this.#high || numbers[2 * index + 1] !== this.#low) continue
      for (; line < index; line++) start = body.indexOf(lineFeed, start) + 1
      const record = utf8.decode(body.subarray(start, body.indexOf(lineFeed, start)))
      const [firstName = "", lastName = "", document = ""] = fieldsOfRecord(record)
      const position = this.#bets + index + 1
      this.winners.push({ agency, position, document, firstName, lastName })
    }
    this.#bets += bets
  }
}

/** The agencies were told the stored winners, so these must be the ones that are found. */
const compare = (
  winners: ReadonlyArray<WinningBet>,
  stored: ReadonlyMap<number, ReadonlyArray<string>>
): void => {
  const count = [...stored.values()].reduce((sum, documents) => sum + documents.length, 0)
  const compared = new Map<number, number>()
  const alike = winners.every(({ agency, document }) => {
    const index = compared.get(agency) ?? 0
    compared.set(agency, index + 1)
    return stored.get(agency)?.[index] === document
  })
  if (!alike || count !== winners.length) {
    throw damaged("the winners that were stored are not those of the bets")
  }
}
