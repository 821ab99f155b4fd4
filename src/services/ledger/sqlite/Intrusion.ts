/** Another program has changed the ledger: its writer can't continue, and the message says what to do. */
import { defect, type LedgerProblem } from "./LedgerProblem.ts"

export const fenced = (): LedgerProblem =>
  defect(
    "another central has opened this ledger since, although it is locked; nothing more is stored here. Run only one "
      + "central on a ledger, and don't remove its .lock file"
  )

/** The file holds something that this writer didn't write. */
export const meddled = (error: unknown): LedgerProblem =>
  defect(
    `another program has written to the ledger${
      error instanceof Error ? ` (${error.message})` : ""
    }; `
      + "stop whatever writes to it, run `ledger verify`, and start the central again"
  )
