import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { AgencyResult } from "../../../src/services/admin/LedgerReport.ts"
import type { AgencyOutcome } from "../../../src/services/trial/AgencyRun.ts"
import { differences } from "../../../src/services/trial/Demonstration.ts"
import { expectationOf } from "../../../src/services/trial/Expectation.ts"

describe("the demo's check", () => {
  const expectations = [{ bets: 20, winners: ["30904465", "27000111"] }, { bets: 0, winners: [] }]
  const outcomes: ReadonlyArray<AgencyOutcome> = [
    { agency: 1, bets: 20, winners: ["30904465", "27000111"], ms: 1 },
    { agency: 2, bets: 0, winners: [], ms: 1 }
  ]
  const stored: ReadonlyArray<AgencyResult> = [
    { agency: 1, bets: 20, chunks: 2, finished: true, told: undefined, winners: 2 },
    { agency: 2, bets: 0, chunks: 1, finished: true, told: undefined, winners: 0 }
  ]
  const changed = <A>(rows: ReadonlyArray<A>, change: Partial<A>) =>
    rows.map((row, index) => index === 0 ? { ...row, ...change } : row)

  it("finds nothing when files, agencies and ledger agree", () => {
    assert.deepStrictEqual(differences(outcomes, expectations, stored), [])
  })

  it("finds every single thing that is off", () => {
    const off = [
      differences(changed(outcomes, { bets: 19 }), expectations, stored),
      differences(changed(outcomes, { winners: ["27000111", "30904465"] }), expectations, stored),
      differences(changed(outcomes, { winners: ["30904465"] }), expectations, stored),
      differences(outcomes, expectations, changed(stored, { bets: 21 })),
      differences(outcomes, expectations, changed(stored, { finished: false })),
      differences(outcomes, expectations, changed(stored, { winners: 1 })),
      differences(outcomes, expectations, changed(stored, { winners: undefined }))
    ]
    for (const problems of off) assert.strictEqual(problems.length, 1)
    assert.strictEqual(differences(outcomes, expectations, stored.slice(1)).length, 3)
  })

  it.live("reads what must come out from the file, quoted names and all", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "loteria-"))),
        (made) => Effect.promise(() => rm(made, { recursive: true }))
      )
      const path = join(folder, "agency-1.csv")
      const lines = [
        "Ana,Lorca,11111111,1999-03-17,7574",
        "Ana,\"Lorca, hijo\",22222222,1999-03-17,7574",
        "Ana,\"Núñez \"\"Pepe\"\"\",33333333,1999-03-17,17574",
        "Ana,Vera,7574,1999-03-17,757",
        "Ana,Vera,44444444,1999-03-17,7574"
      ]
      yield* Effect.promise(() => writeFile(path, lines.map((line) => `${line}\r\n`).join("")))
      assert.deepStrictEqual(yield* expectationOf(path, 7574), {
        bets: 5,
        winners: ["11111111", "22222222", "44444444"]
      })
    }).pipe(Effect.scoped))
})
