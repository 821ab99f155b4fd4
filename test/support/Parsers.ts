/** Pools of parser children for tests. */
import { assert } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Parsed } from "../../src/domain/Chunk.ts"
import { Lifetime } from "../../src/services/base/Lifetime.ts"
import { LogWriter, OperatorLog } from "../../src/services/base/OperatorLog.ts"
import { decodeSettings, Settings } from "../../src/services/base/Settings.ts"
import {
  ChunkParser,
  type ParseOutcome,
  type ParserFailed
} from "../../src/services/intake/ChunkParser.ts"
import { strictKeeperLayer } from "./Kept.ts"
import { sales } from "./Sales.ts"

const utf8 = new TextEncoder()

interface PoolOptions {
  readonly entry?: URL
  readonly parsers?: Readonly<Record<string, number>>
}

/** A pool, asked for one frame at a time. */
const oneByOne = (pool: ChunkParser["Service"]) => ({
  ...pool,
  parse: (frame: Uint8Array): Effect.Effect<Parsed, ParserFailed> =>
    Effect.suspend(() => {
      const outcomes: Array<ParseOutcome> = []
      return pool.parse([{ frame }], (outcome) => outcomes.push(outcome)).pipe(
        Effect.flatMap(() => {
          const [outcome] = outcomes
          assert.lengthOf(outcomes, 1)
          assert(outcome !== undefined)
          return outcome._tag === "ParserFailed" ? Effect.fail(outcome) : Effect.succeed(outcome)
        })
      )
    })
})

/** Runs a pool for as long as the test. `replaced` gives the log lines about children that were replaced. */
export const withPool = <A, E>(
  options: PoolOptions,
  test: (
    parser: ReturnType<typeof oneByOne>,
    replaced: () => ReadonlyArray<string>,
    pool: ChunkParser["Service"]
  ) => Effect.Effect<A, E>
) =>
  Effect.gen(function*() {
    let log = ""
    const defaults = yield* decodeSettings("the test", {}, {})
    // Not decoded: some of what is tried here would be refused in a configuration.
    const parsers = { ...defaults.parsers, processes: 1, restartFirstMs: 1, ...options.parsers }
    const settings = { ...defaults, parsers }
    const writer = new LogWriter(
      { level: "DEBUG", format: "text", flushMs: 0 },
      (text) => (log += text)
    )
    const replaced = () => {
      writer.flush()
      return log.split("\n").filter((line) => line.includes("action: parser_replaced"))
    }
    const pool = options.entry === undefined
      ? ChunkParser.layer
      : ChunkParser.layerOf(options.entry)
    return yield* Effect.flatMap(
      ChunkParser,
      (parser) => test(oneByOne(parser), replaced, parser)
    ).pipe(
      Effect.provide(
        Layer.provide(
          pool,
          Layer.mergeAll(
            Layer.succeed(Settings, settings),
            Layer.succeed(OperatorLog, writer),
            strictKeeperLayer,
            Lifetime.layer
          )
        )
      ),
      Effect.timeout("20 seconds")
    )
  })

/** A path without a file. */
export const temporaryFile = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "loteria-parser-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true }))
).pipe(Effect.map((folder) => join(folder, "fault")))

/** A frame of agency 1. */
export const parserFrame = (
  more: Readonly<Record<string, unknown>> = {},
  bets = sales(1, 3)
): Uint8Array => utf8.encode(JSON.stringify({ type_message: 1, agency: 1, payload: bets, ...more }))
