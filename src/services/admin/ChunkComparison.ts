/** Compares the chunks of two ledgers, row for row. */
import { Effect, Pull, type Scope, Stream } from "effect"
import type { LedgerReadError, StoredChunk } from "./StoredLedger.ts"

type Chunks = Stream.Stream<ReadonlyArray<StoredChunk>, LedgerReadError>
type Pieces = Effect.Effect<ReadonlyArray<StoredChunk> | undefined, LedgerReadError>

/** Both by agency, then in the order stored. Gives the first chunk that only one has, or that isn't the same in both. */
export const firstDifference = Effect.fnUntraced(function*(
  one: Chunks,
  other: Chunks
): Effect.fn.Return<StoredChunk | undefined, LedgerReadError, Scope.Scope> {
  const [left, right] = [yield* piecesOf(one), yield* piecesOf(other)]
  let [mine, theirs] = [yield* left, yield* right]
  let [at, otherAt] = [0, 0]
  while (mine !== undefined && theirs !== undefined) {
    while (at < mine.length && otherAt < theirs.length) {
      const [chunk, otherChunk] = [mine[at], theirs[otherAt]]
      if (chunk === undefined || otherChunk === undefined || !areSame(chunk, otherChunk)) {
        return chunk
      }
      at++
      otherAt++
    }
    if (at === mine.length) [mine, at] = [yield* left, 0]
    if (otherAt === theirs.length) [theirs, otherAt] = [yield* right, 0]
  }
  return mine?.[at] ?? theirs?.[otherAt]
}, Effect.scoped)

/** One piece after the other; undefined at the end. */
const piecesOf = (chunks: Chunks): Effect.Effect<Pieces, never, Scope.Scope> =>
  Effect.map(
    Stream.toPull(Stream.filter(chunks, ({ length }) => length > 0)),
    (pull) => Pull.catchDone(Effect.map(pull, (pieces) => pieces.flat()), () => Effect.undefined)
  )

const areSame = (one: StoredChunk, other: StoredChunk): boolean =>
  one.agency === other.agency && one.seq === other.seq && one.last === other.last
  && one.bets === other.bets && Buffer.compare(one.numbers, other.numbers) === 0
  && Buffer.compare(one.body, other.body) === 0
