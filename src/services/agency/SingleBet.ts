/**
 * One bet from environment variables, as the field's single-bet agencies are deployed. The values are personal data:
 * what is wrong with one is told by its name alone.
 */
import { Effect, Option, Runtime, Schema, Stream } from "effect"
import { betOfFields } from "../../domain/Bet.ts"
import { betFields, fieldRules, invalidField } from "../../domain/BetRules.ts"
import { ExitCode } from "../base/ExitCode.ts"
import type { BetInput } from "./BetFile.ts"

/** In the order of a bet's fields. */
const betVariables = ["NOMBRE", "APELLIDO", "DOCUMENTO", "NACIMIENTO", "NUMERO"] as const

/** The variables are no bet. */
export class SingleBetInvalid
  extends Schema.TaggedError<SingleBetInvalid>()("SingleBetInvalid", { problem: Schema.String })
{
  override readonly [Runtime.errorExitCode] = ExitCode.wrongUsage
  override get message(): string {
    return `the bet in the environment: ${this.problem}`
  }
}

/** The bet that is all of the agency's bets; `None` when none of the variables is set. */
export const singleBet = (
  environment: Readonly<Record<string, string | undefined>>
): Effect.Effect<Option.Option<BetInput>, SingleBetInvalid> =>
  Effect.suspend(() => {
    const fields = betVariables.map((name) => environment[name] ?? "")
    const missing = betVariables.filter((_, index) => fields[index] === "")
    if (missing.length === betVariables.length) return Effect.succeedNone
    if (missing.length > 0) {
      const problem = `${missing.join(", ")} not set; it takes ${betVariables.join(", ")}`
      return Effect.fail(new SingleBetInvalid({ problem }))
    }
    const bet = betOfFields(fields)
    if (Option.isSome(bet)) {
      const steps = Stream.succeed({ line: 1, bet: bet.value })
      return Effect.succeedSome({ name: "the bet in the environment", steps })
    }
    const field = invalidField(fields) ?? "number"
    const variable = betVariables[betFields.indexOf(field)]
    return Effect.fail(
      new SingleBetInvalid({
        problem: `the ${field} (${variable}) must be ${fieldRules[field]}`
      })
    )
  })
