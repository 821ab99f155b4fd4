import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { Parsed } from "../../../src/domain/Chunk.ts"
import { ParserBacklog } from "../../../src/services/intake/ParserBacklog.ts"
import type { Job } from "../../../src/services/intake/ParserLink.ts"

const frame = new Uint8Array(0)

/** A job, and what it was told. */
const watched = (): { readonly job: Job; readonly told: ReadonlyArray<Parsed | string> } => {
  const told: Array<Parsed | string> = []
  return { job: { frame, done: (outcome) => void told.push(outcome), failures: 0 }, told }
}

describe("the backlog of frames", () => {
  it("gives waiting frames to the child that comes, oldest first, and each once", () => {
    const backlog = new ParserBacklog()
    const jobs = [watched().job, watched().job]
    for (const job of jobs) backlog.wait(job)
    assert.deepStrictEqual(backlog.takeWaiting(), jobs)
    assert.deepStrictEqual(backlog.takeWaiting(), [])
    assert.isFalse(backlog.hasSuspects)
  })

  it("has a frame tried once more after a failure, and gives it up after the second", () => {
    const backlog = new ParserBacklog()
    const { job, told } = watched()
    backlog.suspect("the first problem", [job])
    assert.deepStrictEqual(told, [])
    assert.strictEqual(backlog.takeSuspect(), job)
    assert.isUndefined(backlog.takeSuspect())
    backlog.suspect("the second problem", [job])
    assert.deepStrictEqual(told, ["the second problem"])
    assert.isFalse(backlog.hasSuspects)
    assert.throws(() => backlog.suspect("a third", [job]), /given up/)
  })

  it.prop(
    "tells every frame once that the parsers are closed: what it holds, and what comes later",
    [
      Schema.Array(Schema.Literals(["waits", "suspect", "taken"]))
    ],
    ([fates]) => {
      const backlog = new ParserBacklog()
      const all = fates.map((fate) => ({ ...watched(), fate }))
      for (const { fate, job } of all) {
        if (fate === "waits") backlog.wait(job)
        if (fate === "suspect") backlog.suspect("a problem", [job])
      }
      backlog.close()
      for (const { fate, job } of all) if (fate === "taken") backlog.suspect("an end", [job])
      const late = watched()
      backlog.wait(late.job)
      for (const { told } of [...all, late]) {
        assert.deepStrictEqual(told, ["the parsers are closed"])
      }
    }
  )
})
