/** Which frame the pool blames when a child fails with several frames in it, and how children start. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { writeFile } from "node:fs/promises"
import { pathToFileURL } from "node:url"
import type { ChunkParser } from "../../../src/services/intake/ChunkParser.ts"
import { parserFrame, temporaryFile, withPool } from "../../support/Parsers.ts"
import { waitUntil } from "../../support/WaitUntil.ts"

const trappedParser = new URL("../../support/TrappedParser.ts", import.meta.url)

/** The outcomes of many frames that were given to the pool at once, in the order in which they were known. */
const parseAll = (pool: ChunkParser["Service"], frames: ReadonlyArray<Uint8Array>) =>
  Effect.gen(function*() {
    const outcomes: Array<{ readonly index: number; readonly tag: string }> = []
    yield* pool.parse(
      frames.map((frame) => ({ frame })),
      ({ _tag: tag }, index) => outcomes.push({ index, tag })
    )
    return outcomes
  })

/** Many frames that fit into one read of a child; those at the given places have a trap. */
const oneRead = (trap: string, ...places: ReadonlyArray<number>): ReadonlyArray<Uint8Array> =>
  Array.from({ length: 32 }, (_, index) => parserFrame(places.includes(index) ? { trap } : {}))

describe("one of many frames in a real child", () => {
  it.live("that kills it fails alone, after two deaths, and the others are parsed", () =>
    withPool({ entry: trappedParser, parsers: { processes: 2, restartFirstMs: 100 } }, (
      _,
      replaced,
      pool
    ) =>
      Effect.gen(function*() {
        const outcomes = yield* parseAll(pool, oneRead("die", 20))
        const failed = outcomes.filter(({ tag }) => tag !== "Chunk")
        assert.deepStrictEqual(failed, [{ index: 20, tag: "ParserFailed" }])
        assert.lengthOf(outcomes, 32)
        assert.lengthOf(replaced(), 2, replaced().join())
        yield* Effect.promise(() => waitUntil("two children", () => pool.pids().length === 2))
        assert.strictEqual((yield* parseAll(pool, oneRead("die")))[0]?.tag, "Chunk")
      })))

  it.live("that kills it does so to no other, also where there are several such", () =>
    withPool(
      { entry: trappedParser, parsers: { processes: 1 } },
      (_, replaced, pool) =>
        Effect.gen(function*() {
          const outcomes = yield* parseAll(pool, oneRead("die", 0, 7, 31))
          const failed = outcomes.filter(({ tag }) => tag !== "Chunk").map(({ index }) => index)
          assert.deepStrictEqual(failed.toSorted((a, b) => a - b), [0, 7, 31])
          assert.lengthOf(replaced(), 4, replaced().join())
        })
    ))

  it.live("that hangs is not waited for by the others when it is tried again", () =>
    withPool({ entry: trappedParser, parsers: { processes: 1, chunkDeadlineMs: 3000 } }, (
      _,
      replaced,
      pool
    ) =>
      Effect.gen(function*() {
        const outcomes = yield* parseAll(pool, oneRead("hang", 0))
        assert.lengthOf(outcomes, 32)
        assert.deepStrictEqual(outcomes.at(-1), { index: 0, tag: "ParserFailed" })
        assert.isTrue(outcomes.slice(0, -1).every(({ tag }) => tag === "Chunk"))
        assert.lengthOf(replaced(), 2, replaced().join())
        yield* Effect.promise(() => waitUntil("one child", () => pool.pids().length === 1))
      })))

  it.live("that hangs, as several others do, costs no more than twice as many children", () =>
    withPool({ entry: trappedParser, parsers: { processes: 1, chunkDeadlineMs: 1500 } }, (
      _,
      replaced,
      pool
    ) =>
      Effect.gen(function*() {
        const parsing = yield* Effect.forkChild(parseAll(pool, oneRead("hang", 0, 1, 2)))
        let most = 0
        while (parsing.pollUnsafe() === undefined) {
          most = Math.max(most, pool.pids().length)
          yield* Effect.sleep("5 millis")
        }
        assert.strictEqual(most, 2)
        const failed = (yield* Fiber.join(parsing)).filter(({ tag }) => tag !== "Chunk")
        assert.deepStrictEqual(failed.map(({ index }) => index), [0, 1, 2])
        assert.lengthOf(replaced(), 4, replaced().join())
        yield* Effect.promise(() => waitUntil("one child", () => pool.pids().length === 1))
      })))

  it.live("that hangs keeps nobody waiting who comes meanwhile", () =>
    withPool({ entry: trappedParser, parsers: { processes: 1, chunkDeadlineMs: 3000 } }, (
      parser,
      replaced
    ) =>
      Effect.gen(function*() {
        const hanging = yield* Effect.forkChild(
          Effect.exit(parser.parse(parserFrame({ trap: "hang" })))
        )
        yield* Effect.promise(() => waitUntil("the first failure", () => replaced().length === 1))
        const parsed = yield* parser.parse(parserFrame())
        assert.strictEqual(parsed._tag, "Chunk")
        assert.lengthOf(replaced(), 1)
        assert.isTrue(Exit.isFailure(yield* Fiber.join(hanging)))
      })))
})

describe("a parser's start", () => {
  it.live("is not bounded by the time for one frame", () =>
    withPool(
      { parsers: { processes: 2, chunkDeadlineMs: 50 } },
      (parser, replaced) =>
        Effect.sync(() => {
          assert.lengthOf(parser.pids(), 2)
          assert.deepStrictEqual(replaced(), [])
        })
    ))

  it.live("has a bound of its own", () =>
    Effect.gen(function*() {
      const silent = `${yield* temporaryFile}.mjs`
      yield* Effect.promise(() => writeFile(silent, "setInterval(() => {}, 1000)"))
      const reason = yield* withPool(
        {
          entry: pathToFileURL(silent),
          parsers: { startDeadlineMs: 700, restartFirstMs: 60_000 }
        },
        (_, replaced) => Effect.sync(() => replaced().join())
      )
      assert.include(reason, "the parser did not start in time")
    }).pipe(Effect.scoped))

  it.live("is not waited for by a start of the server that is called off", () =>
    Effect.gen(function*() {
      const silent = `${yield* temporaryFile}.mjs`
      yield* Effect.promise(() => writeFile(silent, "setInterval(() => {}, 1000)"))
      const start = performance.now()
      const ended = yield* Effect.exit(
        withPool(
          { entry: pathToFileURL(silent), parsers: { startDeadlineMs: 15_000 } },
          () => Effect.void
        ).pipe(Effect.timeout("500 millis"))
      )
      assert.isTrue(Exit.isFailure(ended))
      assert.isBelow(performance.now() - start, 10_000)
    }).pipe(Effect.scoped))

  it.live("that can't be tried at all is tried again, and frames wait for it", () =>
    // Fork throws for this, as it does when no descriptors are left.
    withPool({ entry: new URL("https://nowhere/parser.ts") }, (parser, replaced) =>
      Effect.gen(function*() {
        const waiting = yield* Effect.forkChild(Effect.exit(parser.parse(parserFrame())))
        yield* Effect.promise(() =>
          waitUntil("more tries", () => replaced().length > 2)
        )
        assert.include(replaced()[0], "the parser could not be started")
        yield* parser.close
        assert.isTrue(Exit.isFailure(yield* Fiber.join(waiting)))
      })))
})
