/** `results --winners`: the bets that have won, with names, compared with the winners that the draw has stored. */
import { Effect, type Scope, Stream } from "effect"
import { lineFeed } from "../../domain/Ascii.ts"
import { fieldsOfRecord } from "../../domain/BetRecord.ts"
import { invariant } from "../../domain/Invariant.ts"
import type { LedgerAddress } from "./LedgerAddress.ts"
import { openStored } from "./OpenStored.ts"
import type { HeldDraw, LedgerReadError, StoredChunk } from "./StoredLedger.ts"

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
  address: LedgerAddress
): Effect.fn.Return<WinningBets, LedgerReadError, Scope.Scope> {
  const ledger = yield* openStored(address)
  const { held, lottery: { draw: drawName } } = yield* ledger.state("winners")
  if (held === undefined) return { drawName, draw: undefined, winners: [] }
  const search = new WinnerSearch(held.draw.winningNumber)
  yield* Stream.runForEach(ledger.chunks("winners"), (chunks) =>
    Effect.sync(() => {
      for (const chunk of chunks) search.add(chunk)
    }))
  if (!areAlike(search.winners, held.winners)) {
    return yield* ledger.damaged("the winners that were stored are not those of the bets")
  }
  return { drawName, draw: held.draw, winners: search.winners }
}, Effect.scoped)

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
  add({ agency, bets, body, numbers }: StoredChunk): void {
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
const areAlike = (
  winners: ReadonlyArray<WinningBet>,
  stored: ReadonlyMap<number, ReadonlyArray<string>>
): boolean => {
  const count = [...stored.values()].reduce((sum, documents) => sum + documents.length, 0)
  const compared = new Map<number, number>()
  const alike = winners.every(({ agency, document }) => {
    const index = compared.get(agency) ?? 0
    compared.set(agency, index + 1)
    return stored.get(agency)?.[index] === document
  })
  return alike && count === winners.length
}
