/** The writes of the SQLite ledger, which its writer thread carries out. None of them is interrupted. */
import { Effect } from "effect"
import type { Draw, ToldRecord } from "../../../domain/Draw.ts"
import { invariant } from "../../../domain/Invariant.ts"
import type { LedgerChunk } from "../BetLedger.ts"
import type { DrawRecord } from "../sqlite/DrawTable.ts"
import { encodeGroup } from "../sqlite/GroupBuffer.ts"
import type { WriterReply, WriterRequest } from "../sqlite/ThreadMessages.ts"
import { type LedgerThread, unexpectedReply } from "./LedgerThread.ts"
import { unavailableIn } from "./TypedErrors.ts"
import type { WatchedPlace } from "./WatchedPlace.ts"

/** A larger buffer than this isn't kept for the next group. */
const spareBytesMax = 4 * 1024 * 1024

/** `onStored` is called with the bytes of each group that is on disk. */
export const writesOf = (
  writer: LedgerThread<WriterRequest, WriterReply>,
  place: WatchedPlace,
  toDraw: (record: DrawRecord) => Draw,
  onStored: (bytes: number) => void
) => {
  let spare: ArrayBuffer | undefined
  let writing = false
  const ended = Effect.sync(() => {
    writing = false
  })

  const write = (
    operation: string,
    make: (id: number) => WriterRequest,
    transfer?: ReadonlyArray<ArrayBuffer>
  ) => {
    invariant(!writing, "the ledger is asked for one write at a time")
    writing = true
    return writer.call(make, transfer).pipe(
      Effect.mapError((failure) => unavailableIn(operation)(place.noted(failure))),
      Effect.ensuring(ended)
    )
  }

  const commit = (group: ReadonlyArray<LedgerChunk>) =>
    Effect.suspend(() => {
      const buffer = encodeGroup(group, spare)
      spare = undefined
      return write("commit", (id) => ({ _tag: "Commit", id, buffer }), [buffer])
    }).pipe(
      Effect.map((reply) => {
        if (reply._tag !== "Committed") return
        if (reply.buffer.byteLength <= spareBytesMax) spare = reply.buffer
        onStored(
          group.reduce((bytes, { body, numbers }) => bytes + body.length + numbers.length, 0)
        )
      }),
      Effect.uninterruptible
    )

  const holdDraw = Effect.suspend(() => write("holdDraw", (id) => ({ _tag: "HoldDraw", id }))).pipe(
    Effect.flatMap((reply) =>
      reply._tag === "Drawn" ? Effect.succeed(toDraw(reply.draw)) : unexpectedReply(reply)
    ),
    Effect.uninterruptible
  )

  const told = (records: ReadonlyArray<ToldRecord>) =>
    Effect.suspend(() => write("told", (id) => ({ _tag: "Told", id, records }))).pipe(
      Effect.asVoid,
      Effect.uninterruptible
    )

  return { commit, holdDraw, told }
}
