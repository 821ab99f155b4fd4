import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { PassThrough } from "node:stream"
import { ProgressBar } from "../../../src/services/agency/ProgressBar.ts"
import { screenOf } from "../../support/Screen.ts"

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
          told({ bets, waiting: false })
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
        told({ bets: 1000, waiting: false })
      }))
      bar.above(() => terminal.write("three\n"))
      assert.deepStrictEqual(screen(), [
        "one",
        "two",
        `100% ${"█".repeat(30)} 1,000 of 1,000 bets`,
        "three"
      ])
    }))

  it.effect("shows no rate of before once the central is lost, nor a guess once it is back", () =>
    Effect.gen(function*() {
      const { bar, screen } = trial()
      const bars = "█".repeat(15) + "░".repeat(15)
      yield* Effect.scoped(Effect.gen(function*() {
        const told = yield* bar.follow(1000)
        told({ bets: undefined, waiting: true })
        yield* TestClock.adjust(1000)
        assert.deepStrictEqual(screen(), [
          `  0% ${"░".repeat(30)} 0 of 1,000 bets, waiting for the central`
        ])
        for (let bets = 0; bets <= 500; bets += 100) {
          told({ bets, waiting: false })
          yield* TestClock.adjust(100)
        }
        assert.match(screen()[0] ?? "", /500 of 1,000 bets, 1,000\/s, 1 s left$/)
        told({ bets: 500, waiting: true })
        yield* TestClock.adjust(100)
        assert.deepStrictEqual(screen(), [
          ` 50% ${bars} 500 of 1,000 bets, waiting for the central`
        ])
        told({ bets: 500, waiting: false })
        yield* TestClock.adjust(100)
        assert.deepStrictEqual(screen(), [` 50% ${bars} 500 of 1,000 bets`])
      }))
    }))

  it.effect("says what is waited for and since when, and leaves nothing of it", () =>
    Effect.gen(function*() {
      const { bar, screen } = trial()
      yield* Effect.scoped(Effect.gen(function*() {
        yield* bar.wait("waiting for the draw")
        assert.deepStrictEqual(screen(), ["waiting for the draw"])
        yield* TestClock.adjust(125_000)
        assert.deepStrictEqual(screen(), ["waiting for the draw (2 min 5 s)"])
      }))
      assert.deepStrictEqual(screen(), [])
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
