/**
 * Makes bets that can be read only once, as from a pipe, readable again: delivery reads them anew after every lost
 * connection. They are copied piece by piece to a file in the folder for temporary files. The file is unlinked at once,
 * so that nothing is left of it however the process ends.
 */
import { Effect, type Scope, Stream } from "effect"
import { randomUUID } from "node:crypto"
import { type FileHandle, open, unlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { type BetFileUnusable, betFileUnusable, type BetInput, betsOfBytes } from "./BetFile.ts"

/** A file that nobody else can open. */
const openNameless = async (): Promise<FileHandle> => {
  const path = join(tmpdir(), `loteria-${randomUUID()}`)
  const file = await open(path, "wx+", 0o600)
  await unlink(path)
  return file
}

const pieceBytes = 64 * 1024

/** Each iteration has its own position. */
async function* pieces(file: FileHandle): AsyncGenerator<Uint8Array> {
  let position = 0
  while (true) {
    // oxlint-disable-next-line no-await-in-loop -- a piece begins where the one before it ended
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(pieceBytes), { position })
    if (bytesRead === 0) return
    position += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

/** Reads the input to its end; `name` is for messages. It can be read again for as long as the scope lasts. */
export const spoolBets = Effect.fnUntraced(function*(
  name: string,
  input: Readable
): Effect.fn.Return<BetInput, BetFileUnusable, Scope.Scope> {
  const file = yield* Effect.acquireRelease(
    Effect.tryPromise({ try: openNameless, catch: betFileUnusable(tmpdir()) }),
    (opened) => Effect.promise(() => opened.close())
  )
  const keep = async (received: AsyncIterable<Uint8Array>) => {
    for await (const piece of received) await file.appendFile(piece)
  }
  yield* Effect.tryPromise({
    try: (signal) => pipeline(input, keep, { signal }),
    catch: betFileUnusable(`${name}, kept in ${tmpdir()} meanwhile`)
  })
  return betsOfBytes(
    name,
    Stream.suspend(() => Stream.fromAsyncIterable(pieces(file), betFileUnusable(name)))
  )
})
