/**
 * A bet as a Schema, as five fields in the order of the wire, and as a payload item of the wire
 * (`first,last,document,birthdate,number`, or five strings when a name holds a comma). The rules are those of BetRules;
 * here they get types, and arbitraries that generate awkward but valid bets.
 */
import { Option, Schema, SchemaTransformation } from "effect"
import { fieldRules, isBirthdate, isDocument, isName, isNumber } from "./BetRules.ts"

/** A rule as a check. `source` generates strings for tests; those that break the rule are dropped. */
const rule = (holds: (text: string) => boolean, expected: string, source: string) =>
  Schema.makeFilter<string>(holds, {
    expected,
    arbitraryConstraint: { patterns: [{ source, flags: "u" }] }
  })

/** Accents, quotes, commas, spaces, JSON's punctuation, and characters of two, three and four bytes of UTF-8. */
const nameSource =
  "^(?:[A-Za-zÁÉÍÓÚÜÑáéíóúüñçøß ]{1,24}|[ -~áñ¡ €漢\u{2028}\u{1f600}\u{10ffff}]{1,12}"
  + "|[a,\"'\\\\{}\\[\\]:;é\u{1d49c}]{90,100})$"

const Name = Schema.String.check(
  rule(isName, fieldRules["first name"], nameSource)
)
export const Document = Schema.String.check(
  rule(isDocument, fieldRules.document, "^(?:[0-9]{8}|[A-Za-z0-9]{1,20})$")
)
const Birthdate = Schema.String.check(
  rule(
    isBirthdate,
    fieldRules.birthdate,
    "^(?:19[0-9]{2}|20[0-2][0-9]|[0-9]{3}[1-9])-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-9]|3[01])$"
  )
)
/** Kept as written: `0042` and `42` are different texts of one integer. */
const BetNumber = Schema.String.check(
  rule(isNumber, fieldRules.number, "^[0-9]{1,4}$")
)

/** What the bettor filled in: a bet without the agency that sold it. */
export const BetFields = Schema.Struct({
  firstName: Name,
  lastName: Name,
  document: Document,
  birthdate: Birthdate,
  number: BetNumber
})
export type BetFields = typeof BetFields.Type

export type FiveFields = readonly [
  firstName: string,
  lastName: string,
  document: string,
  birthdate: string,
  number: string
]

const isBetFields = Schema.is(BetFields)

/** The five fields in the order of the wire, of the bet file and of the ledger. */
export const fieldsOfBet = (bet: BetFields): FiveFields => [
  bet.firstName,
  bet.lastName,
  bet.document,
  bet.birthdate,
  bet.number
]

/** By position, without checking any rule. */
const namedFields = (fields: ReadonlyArray<string>): BetFields => ({
  firstName: fields[0] ?? "",
  lastName: fields[1] ?? "",
  document: fields[2] ?? "",
  birthdate: fields[3] ?? "",
  number: fields[4] ?? ""
})

/** `None` unless there are exactly five fields, each of which follows its rule. */
export const betOfFields = (fields: ReadonlyArray<string>): Option.Option<BetFields> => {
  const bet = namedFields(fields)
  return fields.length === 5 && isBetFields(bet) ? Option.some(bet) : Option.none()
}

/** The bet as a payload item: a string, as every server reads it, unless a name holds a comma. */
export const payloadItem = (bet: BetFields): string | FiveFields => {
  const fields = fieldsOfBet(bet)
  return bet.firstName.includes(",") || bet.lastName.includes(",") ? fields : fields.join(",")
}

const ItemText = Schema.String.check(
  Schema.isPattern(/^[^,]*(?:,[^,]*){4}$/, { expected: "five fields separated by commas" })
)
const ItemFields = Schema.Tuple([
  Schema.String,
  Schema.String,
  Schema.String,
  Schema.String,
  Schema.String
])

/** Both shapes of a payload item; encoded as {@link payloadItem} does. */
export const PayloadItem = Schema.Union([ItemText, ItemFields]).pipe(Schema.decodeTo(
  BetFields,
  SchemaTransformation.transform({
    decode: (item) => namedFields(typeof item === "string" ? item.split(",") : item),
    encode: payloadItem
  })
))
