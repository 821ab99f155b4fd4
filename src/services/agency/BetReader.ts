/**
 * Cuts a stream of bets into chunks. It reads one bet ahead, so that it knows which chunk is the last, and holds one piece
 * of the stream at a time, never the whole file. Bets that were taken are counted and hashed.
 */
import { Effect, Pull, type Scope, Stream } from "effect"
import { createHash } from "node:crypto"
import type { AgencyId } from "../../domain/Agency.ts"
import { type BetFields, fieldsOfBet } from "../../domain/Bet.ts"
import { csvLine } from "../../domain/Csv.ts"
import { invariant } from "../../domain/Invariant.ts"
import type { BetFileError, BetLine } from "./BetFile.ts"

export interface BetReader {
  /** The next bets, at most `count`: fewer when their message could exceed the frame's limit, or the stream ends. */
  readonly take: (
    count: number
  ) => Effect.Effect<
    { readonly bets: ReadonlyArray<BetLine>; readonly last: boolean },
    BetFileError
  >
  /** How many bets were taken. */
  readonly count: () => number
  /** SHA-256 of their lines in the export, as in RESUME_POINT. */
  readonly digest: () => string
}

/** The longest message that every central takes: the default limit was 1 MiB once. */
const chunkBytesMax = 768 * 1024

/** The most that a bet can take on the wire: a name's character may be escaped into 6. */
const wireBytesMax = ({ birthdate, document, firstName, lastName, number }: BetFields): number =>
  6 * (firstName.length + lastName.length) + document.length + birthdate.length + number.length + 20

export const openReader = Effect.fnUntraced(function*(
  agency: AgencyId,
  stream: Stream.Stream<BetLine, BetFileError>
): Effect.fn.Return<BetReader, never, Scope.Scope> {
  const pull = yield* Stream.toPull(stream)
  const hash = createHash("sha256")
  let taken = 0
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
    count: () => taken,
    digest: () => hash.copy().digest("hex"),
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
        hash.update(csvLine(agency, fieldsOfBet(next.bet)))
      }
      taken += bets.length
      if (read === piece.length && !ended) yield* ready
      invariant(ended || read < piece.length, "the reader knows whether a bet follows")
      return { bets, last: ended && read === piece.length }
    })
  }
})
