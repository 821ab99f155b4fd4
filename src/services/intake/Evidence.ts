/** Reads from the ledger what a decision asks for (domain/ReplayRule.ts). */
import { Effect, Option } from "effect"
import type { AgencyId } from "../../domain/Agency.ts"
import type { Evidence, Question } from "../../domain/ReplayRule.ts"
import type { BetLedger, LedgerUnavailable } from "../ledger/BetLedger.ts"

export const noEvidence: Evidence = { _tag: "Nothing" }

/** Gives the evidence for a question about the agency's stored bets. */
export const readEvidence = (
  ledger: BetLedger["Service"],
  agency: AgencyId,
  asked: Question
): Effect.Effect<Evidence, LedgerUnavailable> => {
  switch (asked._tag) {
    case "Nothing":
      return Effect.succeed(noEvidence)
    case "ChunkAt":
      return Effect.map(
        ledger.chunkAt(agency, asked.seq),
        Option.match({
          onNone: () => noEvidence,
          onSome: ({ body, last }) => ({ _tag: "ChunkAt", last, body })
        })
      )
    case "BetsFrom":
      return Effect.map(
        ledger.readBets(agency, asked.from, asked.bytes),
        (found) => ({ _tag: "BetsFrom", ...found })
      )
  }
}
