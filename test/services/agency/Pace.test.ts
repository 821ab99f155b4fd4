import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import {
  formatDuration,
  progressLine,
  rateOf,
  rateWindowMs,
  type Sample,
  withSample
} from "../../../src/services/agency/Pace.ts"

const between = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const seen = (samples: ReadonlyArray<Sample>): ReadonlyArray<Sample> =>
  samples.reduce<ReadonlyArray<Sample>>(withSample, [])

describe("pace", () => {
  it("is not told before there is something to tell it by", () => {
    assert.isUndefined(rateOf([]))
    assert.isUndefined(rateOf(seen([{ atMs: 0, bets: 0 }, { atMs: 100, bets: 5000 }])))
  })

  it.prop(
    "is that of the last seconds, however fast it was before",
    { rate: between(0, 100_000), before: between(0, 1_000_000) },
    ({ before, rate }) => {
      const samples = [{ atMs: 0, bets: 0 }]
      for (let atMs = 1000; atMs <= 1000 + 2 * rateWindowMs; atMs += 100) {
        samples.push({ atMs, bets: before + (atMs - 1000) * rate / 1000 })
      }
      const kept = seen(samples)
      assert.closeTo(rateOf(kept) ?? Number.NaN, rate, 1e-6 * (rate + 1))
      assert.isAtMost(kept.length, rateWindowMs / 100 + 1)
    }
  )
})

describe("the line of a progress bar", () => {
  it("has the bets, the rate and the time left", () => {
    assert.strictEqual(
      progressLine(41_600, 80_000, 12_345.6, 100),
      ` 52% ${"█".repeat(15)}${"░".repeat(15)} 41,600 of 80,000 bets, 12,346/s, 4 s left`
    )
    assert.strictEqual(
      progressLine(0, 80_000, 0, 60),
      `  0% ${"░".repeat(12)} 0 of 80,000 bets, waiting for the central`
    )
    assert.strictEqual(progressLine(7, 7, 3, 30), "100% ████████████ 7 of 7 bets")
    assert.match(progressLine(0, 0, undefined, 80), /^100% █+ 0 of 0 bets$/)
  })

  it.prop(
    "is never wider than the terminal, and full only at the end",
    {
      bets: between(0, 10_000_000),
      more: between(0, 10_000_000),
      rate: Schema.UndefinedOr(between(0, 1_000_000)),
      columns: between(1, 300)
    },
    ({ bets, columns, more, rate }) => {
      const line = progressLine(bets, bets + more, rate, columns)
      assert.isBelow(line.length, columns)
      if (columns > 5) assert.strictEqual(line.startsWith("100%"), more === 0)
      if (more > 0) assert.notMatch(line, /%.█+ /)
    }
  )

  it("tells a time in two units at most", () => {
    const minute = 60_000
    for (
      const [ms, text] of [
        [0, "0 s"],
        [1, "1 s"],
        [59_000, "59 s"],
        [59_001, "1 min 0 s"],
        [3 * minute + 5000, "3 min 5 s"],
        [60 * minute, "1 h 0 min"],
        [130 * minute - 1, "2 h 10 min"]
      ] as const
    ) assert.strictEqual(formatDuration(ms), text)
  })
})
