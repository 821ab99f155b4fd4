/** One chunk of 100 bets as a ledger stores it, for what is measured below the servers. */
import { recordOf } from "../src/domain/BetRecord.ts"
import type { StoredChunk } from "../src/services/ledger/BetLedger.ts"
import { generateBets } from "../src/services/trial/Generate.ts"

const betsInChunk = 100

/** All chunks are made of it: for PostgreSQL they are different rows. */
export type BenchChunk = Pick<StoredChunk, "bets" | "numbers" | "body">

export const benchChunk = (): BenchChunk => {
  const bets = [...generateBets(1, 1, betsInChunk)]
  return {
    bets: bets.length,
    numbers: Uint8Array.from(
      bets.flatMap(([, , , , number]) => [Number(number) >> 8, Number(number) & 0xff])
    ),
    body: Buffer.from(bets.map((fields) => recordOf(fields)).join(""))
  }
}
