/**
 * A pool of parsers without processes: a frame's outcome is the real parser's, but the seed decides when it comes.
 * Faults:
 *
 * - slow: a frame takes up to seconds, and frames of other connections that came later are ready earlier;
 * - failing: a frame ends in ParserFailed, as when two children in turn died of it;
 * - crash: frames that were begun get no answer.
 *
 * The real parser reuses its buffers, so what is given back is a copy, as it is behind a pipe.
 */
import { Effect, Layer } from "effect"
import type { Parsed } from "../../src/domain/Chunk.ts"
import { parseMessage } from "../../src/parser/ChunkScanner.ts"
import {
  ChunkParser,
  type ParseOutcome,
  ParserFailed
} from "../../src/services/intake/ChunkParser.ts"

export interface ParserWorld {
  /** Runs something when a child would have parsed a frame. */
  readonly later: (run: () => void) => void
  /** Whether the frame that is due kills its children. */
  readonly fails: () => boolean
  readonly onMisuse: (problem: string) => void
}

export interface ParserLife {
  readonly layer: Layer.Layer<ChunkParser>
  readonly crash: () => void
}

const parse = (frame: Uint8Array): Parsed => {
  const parsed = parseMessage(frame)
  return parsed._tag === "Chunk"
    ? { ...parsed, numbers: parsed.numbers.slice(), body: parsed.body.slice() }
    : parsed
}

/** One life of the pool, with so many children. Each parses one frame at a time; the other frames wait in line. */
export const openParser = (world: ParserWorld, children: number): ParserLife => {
  const waiting: Array<() => void> = []
  const inHand = new Set<Uint8Array>()
  let busy = 0
  let dead = false
  let closed = false

  const next = () => {
    if (busy === children) return
    const job = waiting.shift()
    if (job === undefined) return
    busy++
    world.later(() => {
      if (dead) return
      busy--
      job()
      next()
    })
  }

  const layer = Layer.effect(
    ChunkParser,
    Effect.gen(function*() {
      const close = Effect.sync(() => {
        closed = true
      })
      yield* Effect.addFinalizer(() => close)
      return ChunkParser.of({
        pids: () => [],
        close,
        parse: (holders, each) =>
          Effect.callback<void>((resume) => {
            let left = holders.length
            if (left === 0) return resume(Effect.void)
            const done = (outcome: ParseOutcome, index: number) => {
              each(outcome, index)
              if (--left === 0) resume(Effect.void)
            }
            for (const [index, { frame }] of holders.entries()) {
              if (closed) {
                done(failed, index)
                continue
              }
              if (inHand.has(frame)) world.onMisuse("a frame was to be parsed twice at once")
              inHand.add(frame)
              waiting.push(() => {
                inHand.delete(frame)
                done(world.fails() ? failed : parse(frame), index)
              })
              next()
            }
          })
      })
    })
  )
  return {
    layer,
    crash: () => {
      dead = true
    }
  }
}

const failed = new ParserFailed({ problem: "two simulated children died of it" })
