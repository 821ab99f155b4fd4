/**
 * Bets to sell in tests, and the reports that a ledger should give of them, without the product's generator and codecs.
 * A bet is the text of an item in a payload. No two agencies have a bet in common.
 */
import { createHash } from "node:crypto"

const winningNumber = 7574

const firstNames = ["María José", "Ñusta", "O'Higgins", "Zoë", "\"Pepe\" Luis", "李", "Åsa", "Ana"]
const lastNames = ["Peña", "Muñoz Ávila", "D'Ambrosio", "Güemes", "Lorca", "Iñíguez", "🎲 Gómez"]

/** The agency's bet at `index`, from 0. */
export const sale = (agency: number, index: number, wins = false): string => {
  const first = firstNames[(index + agency) % firstNames.length]
  const last = lastNames[(index * 3 + agency) % lastNames.length]
  const document = String(10_000_000 + agency * 100_000 + index)
  const birthdate = `${1940 + index % 60}-0${1 + index % 9}-1${index % 10}`
  const number = wins ? winningNumber : (index * 7 + agency) % winningNumber
  return [first, last, document, birthdate, number].join(",")
}

/** The agency's first bets; `winners` of them, spread evenly, are on the winning number. */
export const sales = (agency: number, bets: number, winners = 0): ReadonlyArray<string> =>
  Array.from({ length: bets }, (_, index) => {
    const wins = Math.floor((index + 1) * winners / bets) > Math.floor(index * winners / bets)
    return sale(agency, index, wins)
  })

/** The documents of the winning bets, in order. */
export const winnersOf = (bets: ReadonlyArray<string>): ReadonlyArray<string> =>
  bets.map((bet) => bet.split(","))
    .filter((fields) => Number(fields[4]) === winningNumber)
    .map((fields) => fields[2] ?? "")

/** One line of the trade's bet file: minimal RFC 4180 quoting, CRLF. */
export const csvLine = (agency: number, bet: string): string =>
  `${
    [String(agency), ...bet.split(",")]
      .map((field) => /[",\r\n]/.test(field) ? `"${field.replaceAll("\"", "\"\"")}"` : field)
      .join(",")
  }\r\n`

/** An agency's own file: the trade's lines without the agency. */
export const betFile = (bets: ReadonlyArray<string>): string =>
  bets.map((bet) => csvLine(0, bet).slice("0,".length)).join("")

/** What RESUME_POINT should say of exactly these bets. */
export const digestOf = (agency: number, bets: ReadonlyArray<string>): string =>
  createHash("sha256").update(bets.map((bet) => csvLine(agency, bet)).join("")).digest("hex")
