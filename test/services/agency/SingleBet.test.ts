import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { fieldsOfBet } from "../../../src/domain/Bet.ts"
import { betsOf } from "../../../src/services/agency/BetFile.ts"
import { singleBet } from "../../../src/services/agency/SingleBet.ts"

const lorca = {
  NOMBRE: "Santiago Lionel",
  APELLIDO: "Lorca, hijo",
  DOCUMENTO: "30904465",
  NACIMIENTO: "1999-03-17",
  NUMERO: "2201"
}

describe("the bet in the environment", () => {
  it.effect("is the field's five variables, and can be read again", () =>
    Effect.gen(function*() {
      const bets = Option.getOrThrow(yield* singleBet({ ...lorca, CLI_ID: "3" }))
      for (let run = 0; run < 2; run++) {
        const lines = yield* Stream.runCollect(betsOf(bets))
        assert.lengthOf(lines, 1)
        assert.deepStrictEqual(lines.flatMap(({ bet }) => fieldsOfBet(bet)), Object.values(lorca))
      }
    }))

  it.effect("is absent when none of the variables is set", () =>
    Effect.gen(function*() {
      assert.isTrue(Option.isNone(yield* singleBet({ CLI_ID: "3", NOMBRE: "" })))
    }))

  it.effect("is refused by the names of the variables that are missing or wrong, never their values", () =>
    Effect.gen(function*() {
      const missing = yield* Effect.flip(singleBet({ ...lorca, APELLIDO: undefined, NUMERO: "" }))
      assert.strictEqual(
        missing.message,
        "the bet in the environment: APELLIDO, NUMERO not set; "
          + "it takes NOMBRE, APELLIDO, DOCUMENTO, NACIMIENTO, NUMERO"
      )
      for (
        const [variable, value] of [
          ["NOMBRE", "San\ntiago"],
          ["APELLIDO", "x".repeat(101)],
          ["DOCUMENTO", "30.904.465"],
          ["NACIMIENTO", "1999-02-30"],
          ["NUMERO", "10000"]
        ] as const
      ) {
        const wrong = yield* Effect.flip(singleBet({ ...lorca, [variable]: value }))
        assert.match(wrong.message, new RegExp(`\\(${variable}\\) must be `))
        assert.notInclude(wrong.message, value)
      }
    }))
})
