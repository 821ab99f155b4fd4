/** The pool of parser children, with real children: good ones, and ones that misbehave on request. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { setTimeout } from "node:timers/promises"
import { frameBytesDefault } from "../../../src/domain/Limits.ts"
import { parserFrame, temporaryFile, withPool } from "../../support/Parsers.ts"
import { isAlive } from "../../support/Processes.ts"
import { sales } from "../../support/Sales.ts"
import { waitUntil } from "../../support/WaitUntil.ts"

const faultyParser = new URL("../../support/FaultyParser.ts", import.meta.url)
const utf8 = new TextEncoder()

const dearHead = "{\"type_message\":1,\"agency\":1,\"payload\":["
/** `open` as often as the longest message has room for it, then `middle`, then `close` once for each. */
const dear = (open: string, middle = "", close = "", head = dearHead): string => {
  const room = frameBytesDefault - Buffer.byteLength(head) - middle.length - 2
  const count = Math.floor(room / (open.length + close.length))
  return `${head}${open.repeat(count)}${middle}${close.repeat(count)}]}`
}

/** The messages that take a JSON parser the most memory for their bytes. */
const dearest: ReadonlyArray<readonly [string, () => string]> = [
  ["arrays in arrays", () => dear("[", "", "]")],
  ["arrays in arrays, in two bytes a character", () => dear("[", "", "]", `${dearHead}"\uac00",`)],
  ["arrays beside arrays", () => dear("[],", "0")],
  ["objects beside objects", () => dear("{},", "0")],
  ["objects with an index in objects", () => dear("{\"9\":", "0", "}")],
  ["objects with an index beside each other", () => dear("{\"19\":0},", "0")],
  ["numbers", () => dear("0,", "0")]
]

const gone = (pids: ReadonlyArray<number>) =>
  Effect.promise(() => waitUntil("children gone", () => !pids.some(isAlive), 5000))

describe("a parser child", () => {
  const faults = [
    ["dies", "die", /ended with code 7|closed its pipe/],
    ["hangs", "hang", /did not answer in time/],
    ["answers garbage", "garbage", /answered garbage/],
    ["announces an endless answer", "announce", /too long an answer/],
    ["answers what wasn't asked", "disorder", /out of order/]
  ] as const

  it.live.each(faults)(
    "that %s is killed and replaced, and the frame is parsed by the next",
    ([, fault, problem]) =>
      withPool(
        { entry: faultyParser, parsers: { chunkDeadlineMs: fault === "hang" ? 800 : 10_000 } },
        (parser, replaced) =>
          Effect.gen(function*() {
            const once = yield* temporaryFile
            const [first] = parser.pids()
            const parsed = yield* parser.parse(parserFrame({ fault, once }))
            assert.strictEqual(parsed._tag, "Chunk")
            assert.lengthOf(replaced(), 1)
            assert.match(replaced()[0] ?? "", problem)
            assert.lengthOf(parser.pids(), 1)
            assert.notInclude(parser.pids(), first)
            yield* gone([first ?? 0])
          }).pipe(Effect.scoped)
      )
  )

  it.live.each(faults)(
    "that %s again on the same frame fails it, and no other",
    ([, fault, problem]) =>
      withPool(
        { entry: faultyParser, parsers: { chunkDeadlineMs: fault === "hang" ? 800 : 10_000 } },
        (parser, replaced) =>
          Effect.gen(function*() {
            const doomed = yield* Effect.forkChild(
              Effect.flip(parser.parse(parserFrame({ fault })))
            )
            const others = yield* Effect.forEach(
              [1, 2, 3, 4, 5],
              (bets) => parser.parse(parserFrame({}, sales(1, bets))),
              { concurrency: "unbounded" }
            )
            assert.deepStrictEqual(
              others.map((parsed) => parsed._tag === "Chunk" && parsed.bets),
              [1, 2, 3, 4, 5]
            )
            assert.match((yield* Fiber.join(doomed)).problem, problem)
            assert.lengthOf(replaced(), 2, replaced().join())
          })
      )
  )

  it.live("that asks to be replaced answers on until its replacement does", () =>
    withPool({ entry: faultyParser }, (parser, replaced) =>
      Effect.gen(function*() {
        const [first = 0] = parser.pids()
        const all = Array.from(
          { length: 20 },
          (_, index) => parserFrame(index ? {} : { fault: "outgrow" })
        )
        const parsed = yield* Effect.forEach(all, parser.parse, { concurrency: "unbounded" })
        assert.isTrue(parsed.every(({ _tag }) => _tag === "Chunk"))
        yield* gone([first])
        assert.lengthOf(replaced(), 1)
        assert.include(replaced()[0], "outgrown its memory")
        yield* Effect.promise(() => waitUntil("one child", () => parser.pids().length === 1))
        assert.strictEqual((yield* parser.parse(parserFrame()))._tag, "Chunk")
      })))

  it.live("that asks to be replaced and dies is replaced once", () =>
    withPool({ entry: faultyParser }, (parser, replaced) =>
      Effect.gen(function*() {
        const once = yield* temporaryFile
        const frames = [
          parserFrame({ fault: "outgrow" }),
          parserFrame({ fault: "die", once }),
          parserFrame()
        ]
        const parsed = yield* Effect.forEach(frames, parser.parse, { concurrency: "unbounded" })
        assert.isTrue(parsed.every(({ _tag }) => _tag === "Chunk"))
        yield* Effect.promise(() => waitUntil("one child", () => parser.pids().length === 1))
        assert.lengthOf(replaced(), 1)
      }).pipe(Effect.scoped)))

  it.live("whose memory has grown beyond its bound is replaced", () =>
    // Less than a child takes at its start: each check of the memory finds it too large.
    withPool({ parsers: { memoryMb: 20 } }, (parser, replaced) =>
      Effect.gen(function*() {
        const [first = 0] = parser.pids()
        const large = parserFrame({}, sales(1, 25_000))
        assert.isAbove(large.length, 1024 * 1024)
        const parsed = yield* parser.parse(large)
        assert.strictEqual(parsed._tag === "Chunk" && parsed.bets, 25_000)
        yield* gone([first])
        assert.lengthOf(replaced(), 1)
      })))

  it.live.each(dearest)(
    "survives %s of the longest message that is taken, and isn't replaced for it",
    ([, text]) =>
      withPool({}, (parser, replaced) =>
        Effect.gen(function*() {
          const bomb = utf8.encode(text())
          assert.isAbove(bomb.length, 0.99 * frameBytesDefault)
          assert.isAtMost(bomb.length, frameBytesDefault)
          const pids = parser.pids()
          assert.strictEqual((yield* parser.parse(bomb))._tag, "Refused")
          // The check of the memory that follows the message comes before the next frame is parsed.
          assert.strictEqual((yield* parser.parse(parserFrame()))._tag, "Chunk")
          assert.deepStrictEqual(replaced(), [])
          assert.deepStrictEqual(parser.pids(), pids)
        })),
    30_000
  )

  it.live("can't take more memory for one frame than its bound: it dies of it, and the frame fails", () =>
    withPool({ parsers: { memoryMb: 24 } }, (parser, replaced) =>
      Effect.gen(function*() {
        const bomb = utf8.encode(`{"type_message":1,"agency":1,"x":[${"{},".repeat(2_000_000)}{}]}`)
        const exit = yield* Effect.exit(parser.parse(bomb))
        assert.isTrue(Exit.isFailure(exit))
        assert.isAtLeast(replaced().length, 2)
        assert.strictEqual((yield* parser.parse(parserFrame()))._tag, "Chunk")
      })))
})

describe("the pool", () => {
  it.live("tells of each of several frames once, and ends after the last", () =>
    withPool({ entry: faultyParser }, (_, replaced, pool) =>
      Effect.gen(function*() {
        const holders = [1, 2, 3, 4, 5].map((bets) => ({
          frame: parserFrame(bets === 3 ? { fault: "die" } : {}, sales(1, bets))
        }))
        const outcomes = new Map<number, string>()
        yield* pool.parse(holders, (outcome, index) => {
          assert.isFalse(outcomes.has(index))
          outcomes.set(index, outcome._tag === "Chunk" ? `${outcome.bets} bets` : outcome._tag)
        })
        assert.deepStrictEqual(
          [0, 1, 2, 3, 4].map((index) => outcomes.get(index)),
          ["1 bets", "2 bets", "ParserFailed", "4 bets", "5 bets"]
        )
        assert.lengthOf(replaced(), 2)
        yield* pool.parse([], () => assert.fail("there was no frame"))
      })))

  it.live("gives each of many frames, short and long, what came of it and of no other", () =>
    withPool(
      { parsers: { chunkDeadlineMs: 15_000 } },
      (parser, replaced) =>
        Effect.gen(function*() {
          const bets = sales(1, 4000)
          const counts = Array.from(
            { length: 500 },
            (_, index) => index % 50 === 2 ? 4000 : index % 90
          )
          const frames = counts.map((count, index) =>
            parserFrame({ seq: index + 1 }, bets.slice(index, index + count))
          )
          const [child = 0] = parser.pids()
          // The child takes nothing until the pipe is full and more frames have come, a few a turn.
          process.kill(child, "SIGSTOP")
          const parsing = yield* Effect.forkChild(
            Effect.forEach(
              frames,
              (frame, index) =>
                Effect.promise(() => setTimeout(index / 10)).pipe(
                  Effect.andThen(parser.parse(frame))
                ),
              { concurrency: "unbounded" }
            )
          )
          yield* Effect.promise(() => setTimeout(100))
          process.kill(child, "SIGCONT")
          for (const [index, parsed] of (yield* Fiber.join(parsing)).entries()) {
            assert.strictEqual(parsed._tag, "Chunk")
            if (parsed._tag !== "Chunk") continue
            const expected = bets.slice(index, index + (counts[index] ?? 0))
            assert.strictEqual(parsed.seq, index + 1)
            assert.strictEqual(
              Buffer.from(parsed.body).toString(),
              expected.map((line) => `${line.replaceAll(",", "\t")}\n`).join("")
            )
          }
          assert.deepStrictEqual(replaced(), [])
        })
    ))

  it.live("gives nothing more to a child that hangs while another is free", () =>
    withPool(
      { entry: faultyParser, parsers: { processes: 2 } },
      (parser, replaced) =>
        Effect.gen(function*() {
          yield* Effect.forkChild(Effect.exit(parser.parse(parserFrame({ fault: "hang" }))))
          yield* Effect.promise(() => setTimeout(50))
          // Well within the time that the hanging one is given.
          const parsed = yield* Effect.timeout(
            Effect.forEach([1, 2, 3], (bets) => parser.parse(parserFrame({}, sales(1, bets)))),
            "5 seconds"
          )
          assert.deepStrictEqual(parsed.map(({ _tag }) => _tag), ["Chunk", "Chunk", "Chunk"])
          assert.deepStrictEqual(replaced(), [])
        })
    ))

  it.live("ends its children, also one that is stopped", () =>
    Effect.gen(function*() {
      const pids = yield* withPool({ parsers: { processes: 2 } }, (parser) =>
        Effect.sync(() => {
          const all = parser.pids()
          for (const pid of all.slice(0, 1)) process.kill(pid, "SIGSTOP")
          return all
        }))
      assert.lengthOf(pids, 2)
      assert.isFalse(pids.some(isAlive))
    }))

  it.live("without a program to run refuses frames only when it closes", () =>
    withPool(
      { entry: new URL("file:///nowhere/parser.ts"), parsers: { restartMaxMs: 1 } },
      (parser) =>
        Effect.gen(function*() {
          const waiting = yield* Effect.forkChild(Effect.exit(parser.parse(parserFrame())))
          yield* Effect.yieldNow
          yield* parser.close
          assert.isTrue(Exit.isFailure(yield* Fiber.join(waiting)))
        })
    ))
})
