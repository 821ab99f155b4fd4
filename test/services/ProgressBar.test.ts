import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { PassThrough } from "node:stream"
import { ProgressBar } from "../../src/services/ProgressBar.ts"
import { screenOf } from "../support/Screen.ts"

const trial = () => {
  const terminal = Object.assign(new PassThrough(), { columns: 80, rows: 24, isTTY: true })
  let output = ""
  terminal.setEncoding("utf8").on("data", (text: string) => (output += text))
  return { bar: new ProgressBar(terminal), screen: () => screenOf(output), terminal }
}

describe("a progress bar", () => {
  it.effect("follows a delivery at the foot of the screen, below the lines that are written meanwhile", () =>
    Effect.gen(function*() {
      const { bar, screen, terminal } = trial()
      yield* Effect.scoped(Effect.gen(function*() {
        const told = yield* bar.follow(1000)
        for (let bets = 0; bets < 700; bets += 100) {
          yield* told(bets)
          yield* TestClock.adjust(100)
        }
        assert.deepStrictEqual(screen(), [
          ` 60% ${"█".repeat(18)}${"░".repeat(12)} 600 of 1,000 bets, 1,000/s, 1 s left`
        ])
        bar.above(() => terminal.write("one\ntwo\n"))
        assert.deepStrictEqual(screen().slice(0, 2), ["one", "two"])
        assert.match(screen()[2] ?? "", /^ 60% /)
        yield* TestClock.adjust(6000)
        assert.lengthOf(screen(), 3)
        assert.match(screen()[2] ?? "", /600 of 1,000 bets, waiting for the central$/)
        yield* told(1000)
      }))
      bar.above(() => terminal.write("three\n"))
      assert.deepStrictEqual(screen(), [
        "one",
        "two",
        `100% ${"█".repeat(30)} 1,000 of 1,000 bets`,
        "three"
      ])
    }))

  it("leaves nothing of a line that was cleared", () => {
    const { bar, screen, terminal } = trial()
    bar.show("waiting for the draw")
    assert.deepStrictEqual(screen(), ["waiting for the draw"])
    bar.clear()
    bar.clear()
    terminal.write("30904465\n")
    assert.deepStrictEqual(screen(), ["30904465"])
  })

  it("has no listeners for signals", () => {
    const before = process.listenerCount("SIGTERM") + process.listenerCount("SIGINT")
    const { bar } = trial()
    bar.show("a line")
    bar.keep()
    assert.strictEqual(process.listenerCount("SIGTERM") + process.listenerCount("SIGINT"), before)
  })
})
