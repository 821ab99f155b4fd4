import { afterEach, assert, beforeEach, describe, it, vi } from "@effect/vitest"
import { BoundedLines } from "../../../src/services/base/BoundedLines.ts"

describe("BoundedLines", () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })
  const make = () => {
    const leftOut: Array<readonly [string, number]> = []
    const lines = new BoundedLines<string>(
      { linesMax: 2, windowMs: 1000 },
      (kind, count) => leftOut.push([kind, count])
    )
    return { lines, leftOut }
  }

  it("gives each kind so many lines in a window, and tells at its end how many it left out", () => {
    const { leftOut, lines } = make()
    assert.deepStrictEqual(["a", "b", "a", "a", "b", "a"].map((kind) => lines.take(kind)), [
      true,
      true,
      true,
      false,
      true,
      false
    ])
    vi.advanceTimersByTime(999)
    assert.deepStrictEqual(leftOut, [])
    vi.advanceTimersByTime(1)
    assert.deepStrictEqual(leftOut, [["a", 2]])
    assert.isTrue(lines.take("a"))
    vi.advanceTimersByTime(1000)
    assert.deepStrictEqual(leftOut, [["a", 2]])
    assert.strictEqual(vi.getTimerCount(), 0)
  })

  it("tells what it left out when it is ended before", () => {
    const { leftOut, lines } = make()
    for (let line = 0; line < 5; line++) lines.take("a")
    lines.endWindow()
    lines.endWindow()
    assert.deepStrictEqual(leftOut, [["a", 3]])
    assert.strictEqual(vi.getTimerCount(), 0)
  })
})
