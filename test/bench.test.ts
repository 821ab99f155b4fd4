/** The bench counts right. How fast anything is, no test asks. */
import { assert, describe, it } from "@effect/vitest"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { central } from "../bench/Central.ts"
import { median } from "../bench/Comparison.ts"
import type { Contender } from "../bench/Contender.ts"
import { nodeFloor } from "../bench/Floors.ts"
import { LoadGenerator } from "../bench/LoadGenerator.ts"
import { measure, type Measurement } from "../bench/Measure.ts"

const measureShortly = async (
  contender: Contender,
  generatorFor: (folder: string) => LoadGenerator | Promise<LoadGenerator>
): Promise<Measurement> => {
  const folder = mkdtempSync(join(tmpdir(), "loteria-bench-"))
  try {
    const generator = await generatorFor(folder)
    const bench = { folder, generator, warmupSeconds: 0.1, seconds: 0.3, pairs: 1 }
    return await measure(bench, contender, { bets: 10, connections: 5 })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

describe("the bench", () => {
  it("finds in the central's ledger exactly what the load generator was acknowledged", async () => {
    const run = await measureShortly(central, (folder) => LoadGenerator.create(folder))
    assert.deepStrictEqual(run.problems, [])
    assert.isAbove(run.acknowledged, 0)
    assert.strictEqual(run.stored, run.acknowledged)
  })

  it("notices what is acknowledged and not stored, also where Node is the load generator", async () => {
    const forgetful: Contender = {
      ...nodeFloor,
      start: async (place) => {
        const running = await nodeFloor.start(place)
        const finish = async () => {
          const stored = await running.finish()
          return { ...stored, count: stored.count - 1 }
        }
        return { ...running, finish }
      }
    }
    const run = await measureShortly(forgetful, () => LoadGenerator.inNode)
    assert.strictEqual(run.problems.length, 1)
    assert.strictEqual(
      run.problems[0],
      `LOST: ${run.stored + 1} bytes acknowledged, ${run.stored} stored`
    )
  })

  it("takes medians", () => {
    assert.strictEqual(median([3, 1, 2]), 2)
    assert.strictEqual(median([4, 1, 3, 2]), 2.5)
  })
})
