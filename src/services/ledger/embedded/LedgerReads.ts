/** The reads of the SQLite ledger, which its reader thread answers. */
import { Effect, Option } from "effect"
import type { AgencyId } from "../../../domain/Agency.ts"
import type { BetCursor } from "../../../domain/ReplayRule.ts"
import type { ReaderReply, ReaderRequest } from "../sqlite/ThreadMessages.ts"
import { unexpectedReply } from "./LedgerThread.ts"
import type { ReplacedThread } from "./ReplacedThread.ts"
import { unavailableIn } from "./TypedErrors.ts"
import type { WatchedPlace } from "./WatchedPlace.ts"

/** Nothing is read while the path leads to another file than the one that is written. */
export const readsOf = (
  reader: ReplacedThread<ReaderRequest, ReaderReply>,
  place: WatchedPlace,
  onDigest: () => void
) => {
  const read = (operation: string, request: (id: number) => ReaderRequest) =>
    Effect.suspend(() => {
      const failure = place.displaced
      return failure === undefined ? reader.call(request) : Effect.fail(failure)
    }).pipe(Effect.mapError(unavailableIn(operation)))

  const chunkAt = Effect.fnUntraced(function*(agency: AgencyId, seq: number) {
    const reply = yield* read("chunkAt", (id) => ({ _tag: "ChunkAt", id, agency, seq }))
    if (reply._tag !== "Chunk") return yield* unexpectedReply(reply)
    return Option.map(Option.fromUndefinedOr(reply.chunk), (chunk) => ({ agency, seq, ...chunk }))
  })

  const readBets = Effect.fnUntraced(function*(agency: AgencyId, from: BetCursor, bytes: number) {
    const { offset, seq } = from
    const reply = yield* read(
      "readBets",
      (id) => ({ _tag: "ReadBets", id, agency, seq, offset, bytes })
    )
    return reply._tag === "Bets" ? reply.read : yield* unexpectedReply(reply)
  })

  const digest = Effect.fnUntraced(function*(agency: AgencyId) {
    onDigest()
    const reply = yield* read("digest", (id) => ({ _tag: "Digest", id, agency }))
    return reply._tag === "Digested" ? reply.digest : yield* unexpectedReply(reply)
  })

  return { chunkAt, readBets, digest }
}
