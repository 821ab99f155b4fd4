import { assert, describe, it } from "@effect/vitest"
import { invariant, InvariantBroken } from "../../src/domain/Invariant.ts"

describe("an invariant", () => {
  it("that holds says nothing", () => {
    assert.doesNotThrow(() => invariant(true, "a turn is ended once"))
  })

  it("that is broken throws with what should have held", () => {
    assert.throws(
      () => invariant(false, "a turn is ended once"),
      InvariantBroken,
      "a turn is ended once"
    )
  })
})
