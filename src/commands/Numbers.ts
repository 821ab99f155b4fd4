/** Numbers for people: `80,000`, and `1 bet` or `80,000 bets`. */

export const grouped = (value: number): string => value.toLocaleString("en-US")

export const counted = (value: number, one: string, more = `${one}s`): string =>
  `${grouped(value)} ${value === 1 ? one : more}`
