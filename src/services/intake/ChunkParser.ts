/**
 * The pool of parser children. It owns their processes and the pipes to them; it gives back what came of each frame,
 * or {@link ParserFailed}. A child that dies, hangs or answers garbage is killed and replaced; the frames that were in
 * it are tried once more, each alone (ChunkParser/ParserPool.ts). A child that outgrows its memory goes on until its
 * replacement answers.
 *
 * The way there is a raw pipe (fd 3) with several frames per write: IPC messages cost three times the CPU.
 */
import { Context, Effect, Layer, Schema } from "effect"
import type { Parsed } from "../../domain/Chunk.ts"
import { Keeper } from "../base/Keeper.ts"
import { Lifetime } from "../base/Lifetime.ts"
import { OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import { ParserPool, type ParserProblem } from "./ParserPool.ts"

/** Two children in turn failed on the frame, or none could be had. */
export class ParserFailed extends Schema.TaggedError<ParserFailed>()("ParserFailed", {
  problem: Schema.String
}) {}

/** What came of a frame. */
export type ParseOutcome = Parsed | ParserFailed

export class ChunkParser extends Context.Service<ChunkParser, {
  /**
   * Parses, validates and encodes frames of the bets port. `each`, which must not throw, is told what came of a frame,
   * and its index, as soon as that is known, and from then on nothing holds the frame; the effect ends after the last.
   */
  readonly parse: (
    holders: ReadonlyArray<{ readonly frame: Uint8Array }>,
    each: (outcome: ParseOutcome, index: number) => void
  ) => Effect.Effect<void>
  /** Process ids of the living children. */
  readonly pids: () => ReadonlyArray<number>
  /** Ends the children, once; the scope that owns the pool does so at the latest. */
  readonly close: Effect.Effect<void>
}>()("loteria-nacional/services/intake/ChunkParser") {
  /** A pool of children that run another program. */
  static readonly layerOf = (entry: URL) =>
    Layer.effect(
      ChunkParser,
      Effect.gen(function*() {
        const { parsers } = yield* Settings
        const log = yield* OperatorLog
        const lifetime = yield* Lifetime
        const keeper = yield* Keeper
        const pool = new ParserPool({ ...parsers, entry, keeper }, {
          onReplaced: (problem) => log.write("WARNING", "parser_replaced", "success", { problem }),
          onNotStarted: (problem) => log.write("WARNING", "parser_replaced", "fail", { problem }),
          onTrouble: (problem) =>
            lifetime.setTrouble("parsers", problem && `no frame can be parsed (${problem})`)
        })
        const close = yield* Effect.cached(
          Effect.promise(() => pool.stop()).pipe(
            Effect.andThen(
              Effect.sync(() =>
                log.write("INFO", "close_resource", "success", { resource: "parsers" })
              )
            )
          )
        )
        // A shutdown that is cut short ends the process without finalizers; a child that hangs would outlive it.
        const killAll = () => pool.kill()
        yield* Effect.acquireRelease(
          Effect.sync(() => process.on("exit", killAll)),
          () => Effect.sync(() => process.off("exit", killAll))
        )
        // A start that is called off, or failed elsewhere, doesn't wait for children that hang.
        const started = yield* Effect.acquireRelease(Effect.sync(() => pool.start()), () => close)
        yield* Effect.promise(() => started)
        return ChunkParser.of({
          pids: () => pool.pids(),
          close,
          parse: (holders, each) =>
            holders.length === 0 ? Effect.void : Effect.callback<void>((resume) => {
              let left = holders.length
              for (const [index, { frame }] of holders.entries()) {
                const done = (outcome: Parsed | ParserProblem) => {
                  each(
                    typeof outcome === "string" ? new ParserFailed({ problem: outcome }) : outcome,
                    index
                  )
                  if (--left === 0) resume(Effect.void)
                }
                pool.submit({ frame, done, failures: 0 })
              }
            })
        })
      })
    )

  static readonly layer = ChunkParser.layerOf(new URL("../../parser.ts", import.meta.url))
}
