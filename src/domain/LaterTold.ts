/** What a ledger keeps of an agency that was told its winners more than once. */
import type { ToldRecord } from "./Draw.ts"

/** The first record that is sure, else the last. An agency that was served stays so. */
export const laterTold = (known: ToldRecord | undefined, record: ToldRecord): ToldRecord => {
  const kept = known?.how === "confirmed" ? known : record
  return { ...kept, served: kept.served || known?.served === true || record.served }
}
