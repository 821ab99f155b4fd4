/** Names for draws that were given none. They are valid by the rule of domain/Draw.ts. */
import * as path from "node:path"

const nameMax = 64

const two = (value: number) => String(value).padStart(2, "0")

/** `2026-11-24T210305`: the local time at which the draw's ledger began. */
export const drawNameOfTime = (time: Date): string => {
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-")
  return `${day}T${two(time.getHours())}${two(time.getMinutes())}${two(time.getSeconds())}`
}

/** For a ledger from before draws had names: the name of its file. `data/ledger.sqlite` becomes `ledger`. */
export const drawNameOfFile = (file: string): string => {
  const name = path.parse(file).name.replaceAll(/[^A-Za-z0-9._-]/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "").slice(0, nameMax)
  return name === "" ? "ledger" : name
}
