/** Times for people: local, with the offset, so that they can be compared anywhere. */

const digits = (value: number, count = 2): string => String(value).padStart(count, "0")

/** `2026-11-24T21:03:05-03:00` */
export const localTime = (date: Date): string => {
  const day = `${date.getFullYear()}-${digits(date.getMonth() + 1)}-${digits(date.getDate())}`
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => digits(part))
  const east = -date.getTimezoneOffset()
  const offset = Math.abs(east)
  return `${day}T${time.join(":")}${east < 0 ? "-" : "+"}${digits(Math.floor(offset / 60))}:${
    digits(offset % 60)
  }`
}
