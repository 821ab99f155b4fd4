import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Stream } from "effect"
import { readdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { PassThrough, Readable } from "node:stream"
import { betsOf } from "../../../src/services/agency/BetFile.ts"
import { spoolBets } from "../../../src/services/agency/BetSpool.ts"
import { sales } from "../../support/Sales.ts"
import { waitUntil } from "../../support/WaitUntil.ts"

const linesOf = (bets: ReadonlyArray<string>) =>
  bets.map((bet) => `${bet.replaceAll("\"", "").split(",").slice(0, 5).join(",")}\n`)

/** What other test files leave there for a moment has other names. */
const spools = () => readdirSync(tmpdir()).filter((name) => /^loteria-[\da-f]{8}-/.test(name))

describe("bets that can be read only once", () => {
  it.live("are the same in every run, also in runs at the same time and after one that was left", () =>
    Effect.gen(function*() {
      const lines = linesOf(sales(3, 20_000))
      const bets = yield* spoolBets(
        "standard input",
        Readable.from(lines.map((line) => Buffer.from(line)))
      )
      const documents = lines.map((line) => line.split(",")[2])
      const run = Stream.runCollect(Stream.map(betsOf(bets), ({ bet }) => bet.document))
      yield* Stream.runDrain(Stream.take(bets.steps, 10))
      const runs = yield* Effect.all([run, run], { concurrency: 2 })
      assert.deepStrictEqual(runs[0], documents)
      assert.deepStrictEqual(runs[1], documents)
    }).pipe(Effect.scoped))

  it.live("are named by line and by where they came from when they break a rule", () =>
    Effect.gen(function*() {
      const input = Readable.from([
        Buffer.from("Ana,Vera,30904465,1999-03-17,1\nAna,Vera,30904465,1999-13-17,1\n")
      ])
      const bets = yield* spoolBets("standard input", input)
      const error = yield* Effect.flip(Stream.runDrain(betsOf(bets)))
      assert.strictEqual(
        error.message,
        "standard input: line 2: the birthdate must be a calendar date, YYYY-MM-DD; correct the line and start again"
      )
    }).pipe(Effect.scoped))

  it.live("leave no file behind, not even while they are read", () =>
    Effect.gen(function*() {
      yield* spoolBets("standard input", Readable.from([Buffer.from("Ana,Vera,1,1999-03-17,1\n")]))
      // Another test's file may be there for the moment that it takes to lose its name.
      yield* Effect.promise(() => waitUntil("no spool", () => spools().length === 0))
    }).pipe(Effect.scoped))

  it.live("are no longer waited for once the agency is to end", () =>
    Effect.gen(function*() {
      const input = new PassThrough()
      const reading = yield* Effect.forkChild(Effect.scoped(spoolBets("standard input", input)))
      input.write("Ana,Vera,30904465,1999-03-17,1\n")
      yield* Effect.promise(() =>
        waitUntil("the input to be read", () => input.readableLength === 0)
      )
      yield* Fiber.interrupt(reading)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(reading)))
      yield* Effect.promise(() => waitUntil("the input to be left", () => input.destroyed))
    }))
})
