/**
 * Names for draws that were given none. What a name may be is in domain/Draw.ts; these are such.
 */
import * as path from "node:path"

const nameMax = 64

const two = (value: number) => String(value).padStart(2, "0")

/** `2026-11-24T210305`, in local time: what the clock on the wall said when the draw's ledger began. */
export const drawNameOfTime = (time: Date): string => {
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-")
  return `${day}T${two(time.getHours())}${two(time.getMinutes())}${two(time.getSeconds())}`
}

/** Of a ledger from before draws had names: that of its file. `data/ledger.sqlite` is `ledger`. */
export const drawNameOfFile = (file: string): string => {
  const name = path.parse(file).name.replaceAll(/[^A-Za-z0-9._-]/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "").slice(0, nameMax)
  return name === "" ? "ledger" : name
}
