import { Effect } from "effect"
import { BetLedgerSuite } from "../suites/BetLedgerSuite.ts"
import { SimulatedLedger } from "./SimulatedLedger.ts"

// A judge that is wrong about the ledger would be wrong about the central: it keeps the contract of the real ones.
BetLedgerSuite(
  "the simulated ledger, left in peace,",
  Effect.sync(() => {
    const ledger = new SimulatedLedger({
      later: (_, run) => setImmediate(run),
      fails: () => false,
      onStored: () => {},
      onDrawn: () => {},
      onDrawAsked: () => {},
      onToldNoted: () => {},
      onDrawKnown: () => {},
      onMisuse: (problem) => {
        throw new Error(problem)
      }
    })
    return { layer: (lottery) => ledger.open(lottery).layer }
  })
)
