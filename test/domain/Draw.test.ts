import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { DrawName } from "../../src/domain/Draw.ts"

describe("a draw's name", () => {
  const isName = Schema.is(DrawName)

  it("is safe in a file's name, a log line and HTML", () => {
    for (const name of ["a", "7", "2026-11-24T210305", "nocturna_2.b", "x".repeat(64)]) {
      assert.isTrue(isName(name), name)
    }
    const bad = ["", ".", "..", "-a", "_a", "a b", "a/b", "a\\b", "ñ", "a|b", "<b>", "a\n", "a:b"]
    for (const name of [...bad, "x".repeat(65)]) assert.isFalse(isName(name), name)
  })
})
