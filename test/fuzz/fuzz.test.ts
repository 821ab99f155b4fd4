/** The fuzzer's short form; `npm run fuzz -- --minutes 10` runs it for as long as asked. */
import { assert, describe, it } from "@effect/vitest"
import { fuzz } from "./Fuzzer.ts"

describe("fuzzing both ports", () => {
  it.each([1, 2])(
    "gets the answers that the protocol names and harms nobody (seed %i)",
    async (seed) => {
      const report = await fuzz({ seed, ms: 3000 })
      assert.isAbove(report.conversations, 50, "too little was said")
      for (const kind of ["type 1", "type 4", "type 5", "INVALID_MESSAGE", "INVALID_BET"]) {
        assert.isAbove(report.kinds.get(kind) ?? 0, 0, kind)
      }
    }
  )
})
