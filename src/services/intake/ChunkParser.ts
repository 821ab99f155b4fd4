/**
 * The pool of parser children as a service. It owns their processes and the pipes to them, and gives back what came of
 * each frame, or {@link ParserFailed}. A child that dies, hangs or answers garbage is killed and replaced, and the
 * frames in it are tried once more, each alone (ParserPool.ts). A child that outgrows its memory goes on until its
 * replacement is ready.
 *
 * Frames go to a child over a pipe (fd 3), several in one write: IPC messages would cost three times the CPU.
 */
import { Context, Effect, Layer, Schema } from "effect"
import type { Parsed } from "../../domain/Chunk.ts"
import { invariant } from "../../domain/Invariant.ts"
import { Keeper } from "../base/Keeper.ts"
import { Lifetime } from "../base/Lifetime.ts"
import { OperatorLog } from "../base/OperatorLog.ts"
import { Settings } from "../base/Settings.ts"
import type { ParserProblem } from "./ParserLink.ts"
import { ParserPool } from "./ParserPool.ts"

/** Two children in turn failed on the frame, or the pool was closed. */
export class ParserFailed extends Schema.TaggedError<ParserFailed>()("ParserFailed", {
  problem: Schema.String
}) {}

/** What came of a frame. */
export type ParseOutcome = Parsed | ParserFailed

export class ChunkParser extends Context.Service<ChunkParser, {
  /**
   * Parses, validates and encodes frames of the bets port. Calls `each`, which must not throw, with the outcome and the
   * index of each frame as soon as it is known; nothing holds the frame after that. Ends after the last outcome.
   */
  readonly parse: (
    holders: ReadonlyArray<{ readonly frame: Uint8Array }>,
    each: (outcome: ParseOutcome, index: number) => void
  ) => Effect.Effect<void>
  /** Process ids of the living children. */
  readonly pids: () => ReadonlyArray<number>
  /** Ends the children. The scope that owns the pool does so at the latest. */
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
        const ended = Effect.sync(() =>
          log.write("INFO", "close_resource", "success", { resource: "parsers" })
        )
        const close = yield* Effect.cached(Effect.andThen(pool.close, ended))
        // A shutdown that is cut short ends the process without finalizers. A child that hangs would outlive it.
        const killAll = () => pool.kill()
        yield* Effect.acquireRelease(
          Effect.sync(() => process.on("exit", killAll)),
          () => Effect.sync(() => process.off("exit", killAll))
        )
        yield* Effect.acquireRelease(pool.start, () => close)
        yield* pool.started
        return ChunkParser.of({
          pids: () => pool.pids(),
          close,
          parse: (holders, each) =>
            holders.length === 0 ? Effect.void : Effect.callback<void>((resume) => {
              let left = holders.length
              for (const [index, { frame }] of holders.entries()) {
                const done = (outcome: Parsed | ParserProblem) => {
                  invariant(left > 0, "each frame has one outcome")
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
