/** The name of a draw that was given none. It is valid by the rule of domain/Draw.ts. */
const two = (value: number) => String(value).padStart(2, "0")

/** `2026-11-24T210305`: the local time at which the draw's ledger began. */
export const drawNameOfTime = (time: Date): string => {
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-")
  return `${day}T${two(time.getHours())}${two(time.getMinutes())}${two(time.getSeconds())}`
}
