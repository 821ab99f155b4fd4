/** Others have been at the ledger: its writer can't go on, and says what to do. */
import { defect, type LedgerProblem } from "./LedgerProblem.ts"

export const fenced = (): LedgerProblem =>
  defect(
    "another central has opened this ledger since, although it is locked; nothing more is stored here. Let only one "
      + "central run on a ledger, and don't remove its .lock file"
  )

/** The file holds what this writer didn't write: it can't go on, whatever it knows of the agencies. */
export const meddled = (error: unknown): LedgerProblem =>
  defect(
    `another program has written to the ledger${
      error instanceof Error ? ` (${error.message})` : ""
    }; `
      + "stop whatever writes to it, run `ledger verify`, and start the central again"
  )
