/** Chunks for tests of the ledger, made from bets without the product's parser. */
import type { AgencyId } from "../../src/domain/Agency.ts"
import { type BetFields, fieldsOfBet } from "../../src/domain/Bet.ts"
import type { LedgerChunk } from "../../src/services/ledger/BetLedger.ts"

const utf8 = new TextEncoder()

/** A bet that differs from its neighbours in every field but the last name. */
export const betAt = (index: number, number = index % 10_000): BetFields => ({
  firstName: `Ñandú ${index}`,
  lastName: "Güemes, \"hijo\"",
  document: String(30_000_000 + index),
  birthdate: `19${10 + index % 90}-0${1 + index % 9}-1${index % 10}`,
  number: String(number)
})

export const chunkOf = (
  agency: AgencyId,
  seq: number,
  bets: ReadonlyArray<BetFields>,
  last = false
): LedgerChunk => ({
  agency,
  seq,
  last,
  bets: bets.length,
  numbers: Uint8Array.from(
    bets.flatMap(({ number }) => [Number(number) >> 8, Number(number) & 0xff])
  ),
  body: utf8.encode(bets.map((bet) => `${fieldsOfBet(bet).join("\t")}\n`).join(""))
})

/** `count` different bets in one chunk. */
export const plainChunk = (
  agency: AgencyId,
  seq: number,
  count: number,
  last = false
): LedgerChunk =>
  chunkOf(agency, seq, Array.from({ length: count }, (_, index) => betAt(seq * 1000 + index)), last)

/** One line of the export per bet: minimal RFC 4180 quoting, CRLF. */
export const csvOf = (agency: AgencyId, bets: ReadonlyArray<BetFields>): string =>
  bets.map((bet) =>
    `${
      [String(agency), ...fieldsOfBet(bet)]
        .map((field) => /[",\r\n]/.test(field) ? `"${field.replaceAll("\"", "\"\"")}"` : field)
        .join(",")
    }\r\n`
  ).join("")
