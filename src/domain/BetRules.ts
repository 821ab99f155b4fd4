/**
 * What makes a bet valid (docs/PROTOCOL.md, "A bet"), as predicates over strings, on which the Schema in Bet.ts and both
 * paths of the parser are built. No Effect here: the parser child imports this file.
 */

export const nameCharactersMax = 100
export const documentCharactersMax = 20
export const numberMax = 9999

/** Control characters are Unicode's category Cc. Tab and line feed, the ledger's separators, are among them. */
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const controlCharacter = /[\u0000-\u001f\u007f-\u009f]/

/** Characters are code points. Control characters and unpaired surrogates are not allowed. */
export const isName = (text: string): boolean => {
  if (text.length === 0 || text.length > 2 * nameCharactersMax) return false
  if (controlCharacter.test(text) || !text.isWellFormed()) return false
  if (text.length <= nameCharactersMax) return true
  let characters = 0
  for (const _ of text) characters++
  return characters <= nameCharactersMax
}

const documentPattern = new RegExp(`^[A-Za-z0-9]{1,${documentCharactersMax}}$`)

/** Letters and digits of ASCII; 8 digits in practice. */
export const isDocument = (text: string): boolean => documentPattern.test(text)

const daysOfMonth = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** Whether the Gregorian calendar has that day; years 0001 to 9999. */
export const isCalendarDate = (year: number, month: number, day: number): boolean => {
  if (year < 1 || month < 1 || month > 12 || day < 1) return false
  const leap = month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  return day <= (daysOfMonth[month - 1] ?? 0) + (leap ? 1 : 0)
}

/** A real calendar date, `YYYY-MM-DD`. */
export const isBirthdate = (text: string): boolean =>
  /^\d{4}-\d{2}-\d{2}$/.test(text)
  && isCalendarDate(Number(text.slice(0, 4)), Number(text.slice(5, 7)), Number(text.slice(8, 10)))

/** One to four digits: an integer from 0 to 9999. Stored as written, compared as an integer. */
export const isNumber = (text: string): boolean => /^\d{1,4}$/.test(text)

/** The five fields of a bet in the order of the wire and of the bet file. */
export const betFields = ["first name", "last name", "document", "birthdate", "number"] as const

export type BetField = (typeof betFields)[number]

const nameRule = `1 to ${nameCharactersMax} characters, none of them a control character`

/** Each field's rule, for people. */
export const fieldRules: Readonly<Record<BetField, string>> = {
  "first name": nameRule,
  "last name": nameRule,
  document: `1 to ${documentCharactersMax} letters and digits`,
  birthdate: "a calendar date, YYYY-MM-DD",
  number: "1 to 4 digits"
}

const followsRule = (field: BetField, text: string): boolean => {
  switch (field) {
    case "first name":
    case "last name":
      return isName(text)
    case "document":
      return isDocument(text)
    case "birthdate":
      return isBirthdate(text)
    case "number":
      return isNumber(text)
  }
}

/** The first field that breaks its rule; undefined for a valid bet. Never the value: it is personal. */
export const invalidField = (fields: ReadonlyArray<string>): BetField | undefined => {
  for (let index = 0; index < betFields.length; index++) {
    const field = betFields[index]
    if (field !== undefined && !followsRule(field, fields[index] ?? "")) return field
  }
  return undefined
}

/** The rule of every field that breaks it. Never a value: it is personal. */
export const brokenRules = (fields: ReadonlyArray<string>): ReadonlyArray<string> =>
  betFields.filter((field, index) => !followsRule(field, fields[index] ?? ""))
    .map((field) => `the ${field} must be ${fieldRules[field]}`)
