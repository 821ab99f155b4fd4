/** kill -9 at random moments under load; `npm run crash -- --rounds 500` does it for as long as asked. */
import { assert, describe, it } from "@effect/vitest"
import { killRounds } from "./KillRounds.ts"

describe("kill -9 of the server", () => {
  it(
    "10 times at random moments loses nothing acknowledged, doubles nothing, and holds the draw once",
    async () => {
      const seed = Date.now() % 1_000_000
      const report = await killRounds(seed, 10, 5)
      assert.strictEqual(report.rounds, 10)
      assert.isAbove(report.checked, 1000, "kills came before anything was acknowledged")
    }
  )
})
