/**
 * One bet from environment variables, as the field's single-bet agencies are deployed. The values are personal data, so
 * a message names only the variable.
 */
import { Effect, Option, Runtime, Schema, Stream } from "effect"
import { betOfFields } from "../../domain/Bet.ts"
import { type BetField, betFields, fieldRules, invalidField } from "../../domain/BetRules.ts"
import { ExitCode } from "../base/ExitCode.ts"
import type { BetInput } from "./BetFile.ts"

const variables: Readonly<Record<BetField, string>> = {
  "first name": "NOMBRE",
  "last name": "APELLIDO",
  document: "DOCUMENTO",
  birthdate: "NACIMIENTO",
  number: "NUMERO"
}

/** The variables are not a bet. */
export class SingleBetInvalid
  extends Schema.TaggedError<SingleBetInvalid>()("SingleBetInvalid", { problem: Schema.String })
{
  override readonly [Runtime.errorExitCode] = ExitCode.wrongUsage
  override get message(): string {
    return `the bet in the environment: ${this.problem}`
  }
}

/** The agency's only bet; `None` when none of the variables is set. */
export const singleBet = (
  environment: Readonly<Record<string, string | undefined>>
): Effect.Effect<Option.Option<BetInput>, SingleBetInvalid> =>
  Effect.suspend(() => {
    const names = betFields.map((field) => variables[field])
    const fields = names.map((name) => environment[name] ?? "")
    const missing = names.filter((_, index) => fields[index] === "")
    if (missing.length === names.length) return Effect.succeedNone
    if (missing.length > 0) {
      const problem = `${missing.join(", ")} not set; it takes ${names.join(", ")}`
      return Effect.fail(new SingleBetInvalid({ problem }))
    }
    const field = invalidField(fields)
    if (field !== undefined) {
      const problem = `the ${field} (${variables[field]}) must be ${fieldRules[field]}`
      return Effect.fail(new SingleBetInvalid({ problem }))
    }
    return Effect.succeed(Option.map(betOfFields(fields), (bet) => ({
      name: "the bet in the environment",
      steps: Stream.succeed({ line: 1, bet })
    })))
  })
