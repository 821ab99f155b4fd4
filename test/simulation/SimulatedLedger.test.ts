import { Effect } from "effect"
import { BetLedgerSuite } from "../suites/BetLedgerSuite.ts"
import { SharedLedgerSuite } from "../suites/SharedLedgerSuite.ts"
import { SharedLedger } from "./SharedLedger.ts"
import { type LedgerWorld, SimulatedLedger } from "./SimulatedLedger.ts"

// A judge that is wrong about the ledger would be wrong about the central: it keeps the contract of the real ones.
const peace: LedgerWorld = {
  later: (_, run) => setImmediate(run),
  fails: () => false,
  onStored: () => {},
  onFenced: () => {},
  onClaimed: () => {},
  onDrawn: () => {},
  onDrawAsked: () => {},
  onToldNoted: () => {},
  onDrawKnown: () => {},
  onMisuse: (problem) => {
    throw new Error(problem)
  }
}

let sent = 0

/** What is sent later may come earlier. */
const shared = () =>
  new SharedLedger({
    ...peace,
    send: ({ arrive, operation }) => {
      if (operation === "commit" && ++sent % 3 === 0) setTimeout(arrive, 2, true)
      else setImmediate(arrive, true)
    },
    bring: (hear) => setImmediate(hear),
    onWaiting: () => {},
    onDoubt: () => {}
  }, { groupsMax: 2, pollMs: 50 })

let life = 0
const newProcess = () => ({ life: ++life, deliver: (run: () => void) => run() })

BetLedgerSuite(
  "the simulated ledger, left in peace,",
  Effect.sync(() => {
    const ledger = new SimulatedLedger(peace)
    return { layer: (lottery) => ledger.open(lottery, newProcess()).layer }
  })
)

BetLedgerSuite(
  "the simulated ledger of several servers, left in peace,",
  Effect.sync(() => {
    const ledger = shared()
    return { layer: (lottery) => ledger.open(lottery, newProcess()).layer }
  })
)

SharedLedgerSuite(
  "the simulated ledger, left in peace",
  Effect.sync(() => {
    const ledger = shared()
    return { layer: (lottery) => ledger.open(lottery, newProcess()).layer }
  })
)
