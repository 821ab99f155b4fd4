/** Several servers over one PostgreSQL; `npm run cluster` does it for as long as asked, with as many agencies. */
import { assert, describe, it } from "@effect/vitest"
import { Postgres, postgresKinds } from "../support/Postgres.ts"
import { TcpProxy } from "../support/TcpProxy.ts"
import { moves } from "./Moves.ts"

describe("three servers over PostgreSQL", () => {
  it("store every acknowledged bet once and in order while agencies move and servers are killed, and hold one draw", async () => {
    await using postgres = await Postgres.start()
    const report = await moves({
      postgres,
      agencies: 20,
      betsEach: 400,
      seed: Date.now() % 1_000_000,
      lastsMs: 6000,
      moveEveryMs: 1500,
      faults: ["kill", "pause", "strand", "strand"],
      faultEveryMs: 500,
      enough: ({ checked, faults: { kill = 0, strand = 0 }, moves: moved }) =>
        kill > 1 && strand > 3 && moved > 20 && checked > 1000
    })
    assert.isAbove(report.faults.kill ?? 0, 1)
    assert.isAbove(report.faults.strand ?? 0, 3)
    assert.isAbove(report.moves, 20)
    assert.isAbove(report.checked, 1000)
  })
})

for (const { kind, name, skipped } of postgresKinds) {
  describe.skipIf(skipped)(`three servers over ${name}`, () => {
    it("lose nothing acknowledged while PostgreSQL is restarted, crashes, and its connections break", async () => {
      await using postgres = await Postgres.start({ kind })
      await using proxy = await TcpProxy.start(postgres.port)
      const report = await moves({
        postgres,
        proxy,
        agencies: 20,
        betsEach: 400,
        seed: Date.now() % 1_000_000,
        lastsMs: 6000,
        moveEveryMs: 3000,
        faults: [
          "terminateSessions",
          "restartFast",
          "restartImmediate",
          "crash",
          "cut",
          "lose",
          "stall"
        ],
        faultEveryMs: 500,
        enough: ({ checked, inDoubt }) => inDoubt > 0 && checked > 1000
      })
      // Nothing is proven about commits in doubt by a run that has none.
      assert.isAbove(report.inDoubt, 0)
    })
  })
}
