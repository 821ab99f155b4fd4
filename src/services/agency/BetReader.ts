/**
 * Cuts a stream of bets into chunks, looking one bet ahead so that it knows which chunk is the last. It holds one piece
 * of the stream at a time, never the whole file.
 */
import { Effect, Pull, type Scope, Stream } from "effect"
import type { BetFields } from "../../domain/Bet.ts"
import type { BetFileError, BetLine } from "./BetFile.ts"

export interface BetReader {
  /** The next bets, at most `count`, fewer when their message could exceed the frame's limit or the stream ends. */
  readonly take: (
    count: number
  ) => Effect.Effect<
    { readonly bets: ReadonlyArray<BetLine>; readonly last: boolean },
    BetFileError
  >
}

/** What a central takes of one message at least: its default was 1 MiB once. */
const chunkBytesMax = 768 * 1024

/** The most that a bet can take on the wire: a name's character may be escaped into 6. */
const wireBytesMax = ({ birthdate, document, firstName, lastName, number }: BetFields): number =>
  6 * (firstName.length + lastName.length) + document.length + birthdate.length + number.length + 20

export const openBets = Effect.fnUntraced(function*(
  stream: Stream.Stream<BetLine, BetFileError>
): Effect.fn.Return<BetReader, never, Scope.Scope> {
  const pull = yield* Stream.toPull(stream)
  let piece: ReadonlyArray<BetLine> = []
  let read = 0
  let ended = false

  /** Makes the next bet available, unless the stream has ended. */
  const ready = pull.pipe(
    Effect.map((next) => {
      piece = next
      read = 0
    }),
    Pull.catchDone(() =>
      Effect.sync(() => {
        ended = true
      })
    ),
    Effect.repeat({ until: () => ended || read < piece.length })
  )

  return {
    take: Effect.fnUntraced(function*(count) {
      const bets: Array<BetLine> = []
      let bytes = 0
      while (bets.length < count) {
        if (read === piece.length && !ended) yield* ready
        const next = piece[read]
        if (next === undefined) break
        bytes += wireBytesMax(next.bet)
        if (bytes > chunkBytesMax && bets.length > 0) break
        bets.push(next)
        read++
      }
      if (read === piece.length && !ended) yield* ready
      return { bets, last: ended && read === piece.length }
    })
  }
})
