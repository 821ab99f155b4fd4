/** Names for draws of ledgers from before they had any. They are valid by the rule of domain/Draw.ts. */
import * as path from "node:path"

const nameMax = 64

/** For a ledger from before draws had names: the name of its file. `data/ledger.sqlite` becomes `ledger`. */
export const drawNameOfFile = (file: string): string => {
  const name = path.parse(file).name.replaceAll(/[^A-Za-z0-9._-]/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "").slice(0, nameMax)
  return name === "" ? "ledger" : name
}
