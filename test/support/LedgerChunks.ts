/** Chunks for tests of the ledger, made from bets without the product's parser. */
import { Effect } from "effect"
import type { AgencyId } from "../../src/domain/Agency.ts"
import { type BetFields, fieldsOfBet } from "../../src/domain/Bet.ts"
import { type Claim, Epoch } from "../../src/domain/Claim.ts"
import type { BetLedger, LedgerChunk, StoredChunk } from "../../src/services/ledger/BetLedger.ts"

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
): StoredChunk => ({
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
): StoredChunk =>
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

/** The chunk as it is stored under a claim that was taken before the agency's first one. */
export const underClaim = (chunk: StoredChunk, claim?: Claim): LedgerChunk => ({
  ...chunk,
  epoch: claim?.epoch ?? Epoch.make(1),
  total: (claim?.bets ?? 0) + chunk.bets
})

/** A ledger as a server uses it: an agency is claimed before its first chunk is stored. */
export interface Selling extends Omit<BetLedger["Service"], "commit"> {
  readonly commit: (
    group: ReadonlyArray<StoredChunk>
  ) => ReturnType<BetLedger["Service"]["commit"]>
  /** The ledger itself, which takes chunks under any claim. */
  readonly home: BetLedger["Service"]
}

export const selling = (ledger: BetLedger["Service"]): Selling => {
  const claims = new Map<AgencyId, Claim>()
  return {
    ...ledger,
    home: ledger,
    commit: (group) =>
      Effect.gen(function*() {
        const totals = new Map<AgencyId, number>()
        const chunks: Array<LedgerChunk> = []
        for (const chunk of group) {
          const { agency, bets } = chunk
          const claim = claims.get(agency) ?? (yield* ledger.claim(agency))
          claims.set(agency, claim)
          const total = (totals.get(agency) ?? claim.bets) + bets
          totals.set(agency, total)
          chunks.push({ ...chunk, epoch: claim.epoch, total })
        }
        const committed = yield* ledger.commit(chunks)
        for (const { agency, epoch, last, seq, total } of chunks) {
          const finished = last || claims.get(agency)?.finished === true
          claims.set(agency, { epoch, seq, bets: total, finished })
        }
        return committed
      })
  }
}

/** What a new claim of the agency tells. */
export const standingOf = (ledger: Pick<BetLedger["Service"], "claim">, agency: AgencyId) =>
  Effect.map(ledger.claim(agency), ({ bets, finished, seq }) => ({ seq, bets, finished }))
