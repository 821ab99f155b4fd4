/** Agencies sell bets, and are known by a positive integer. The draw waits for the last chunk of each one in the roster. */
import { Option, Schema } from "effect"

/** An agency's number: an integer from 1. */
export const AgencyId = Schema.Int.check(
  Schema.isBetween({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })
).pipe(Schema.brand("AgencyId"))
export type AgencyId = typeof AgencyId.Type

/** The agencies of one lottery, ascending and without repeats; never empty. */
export type Roster = ReadonlyArray<AgencyId>

const isId = Schema.is(AgencyId)

/**
 * Reads the field's notation: `5` means the agencies 1 to 5; `3,5` or `3,` exactly those.
 * `None` when the text is neither, names an agency twice, or more than `agenciesMax`.
 */
export const parseRoster = (text: string, agenciesMax: number): Option.Option<Roster> => {
  if (!/^[1-9]\d{0,14}(?:,[1-9]\d{0,14})*,?$/.test(text)) return Option.none()
  if (!text.includes(",")) {
    const count = Number(text)
    return count > agenciesMax
      ? Option.none()
      : Option.some(Array.from({ length: count }, (_, index) => index + 1).filter(isId))
  }
  const ids = text.split(",").filter((part) => part !== "").map(Number).filter(isId)
  return ids.length > agenciesMax || new Set(ids).size !== ids.length
    ? Option.none()
    : Option.some(ids.toSorted((a, b) => a - b))
}

/** The shortest notation from which {@link parseRoster} gets the same roster. */
export const formatRoster = (roster: Roster): string =>
  roster.every((id, index) => id === index + 1)
    ? String(roster.length)
    : roster.length === 1
    ? `${roster[0]},`
    : roster.join(",")
