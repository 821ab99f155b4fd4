/**
 * What is answered on the bets port, and logged of it. A client that counts (`seq`) is told everything; to one that
 * doesn't, every answer but CHUNK_PROCESSED means "not logged, go on with the next": so what waiting can cure is never
 * answered to it, and after what can't be cured its connection is closed at once.
 */
import type { Chunk } from "../../domain/Chunk.ts"
import type { DrawName } from "../../domain/Draw.ts"
import { chunkProcessedFrame, encodeAnswer } from "../../domain/Message.ts"
import type { Rejection, RejectionCode } from "../../domain/Rejection.ts"
import type { Connection } from "./Connection.ts"
import type { Refusals } from "./Refusals.ts"

type Retryable = Extract<RejectionCode, "LEDGER_UNAVAILABLE" | "PARSER_FAILED" | "OVERLOADED">

export class Replies {
  readonly #refusals: Refusals["Service"]
  readonly #draw: DrawName

  constructor(refusals: Refusals["Service"], draw: DrawName) {
    this.#refusals = refusals
    this.#draw = draw
  }

  /** Everything of the chunk is on disk. After a last chunk the connection is closed. */
  processed(connection: Connection, chunk: Chunk, duplicate: boolean): void {
    connection.answer(
      chunk.seq === undefined
        ? chunkProcessedFrame
        : encodeAnswer({
          _tag: "ChunkProcessed",
          seq: chunk.seq,
          duplicate: duplicate ? true : undefined,
          draw: chunk.last ? this.#draw : undefined
        })
    )
    if (chunk.last) connection.close("finished")
  }

  /** Nothing of the message is stored, and sending it again would not change that. */
  reject(
    connection: Connection,
    message: {
      readonly agency: number | undefined
      readonly seq: number | undefined
      readonly bets?: number
    },
    rejection: Rejection
  ): void {
    const { agency, bets, seq } = message
    const { code, index } = rejection
    this.#refusals.write(connection, { code, agency, seq, bets, index })
    connection.answer(encodeAnswer({ _tag: "ChunkRejected", seq, ...rejection }))
    if (seq === undefined) connection.close(code)
  }

  /**
   * Nothing of the message is stored, but it could be later. That can't be told of a chunk without `seq`, nor of what
   * wasn't read and may be one: the next chunk would take its place.
   */
  putOff(
    connection: Connection,
    what: Chunk | "RESUME" | "unread",
    code: Retryable,
    message: string,
    retryAfterMs: number
  ): void {
    if (connection.closing) return
    const seq = typeof what === "object" ? what.seq : undefined
    const counts = what === "unread" ? connection.counts : what === "RESUME" || seq !== undefined
    this.#refusals.write(connection, { code, seq })
    if (!counts) return connection.close("unavailable")
    if (what === "unread") connection.unreadRefused = true
    connection.answer(encodeAnswer({ _tag: "ChunkRejected", seq, code, message, retryAfterMs }))
  }
}
