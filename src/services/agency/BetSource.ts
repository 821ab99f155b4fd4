/**
 * Opens an agency's bets by their path. A regular file is read in its place. What can be read only once is copied first
 * (BetSpool.ts): standard input, and whatever else isn't a regular file, such as a FIFO or a shell's `<(…)`. Waiting for
 * any of them can be interrupted.
 */
import { Effect, type Scope } from "effect"
import { close, constants, createReadStream, fstat, open } from "node:fs"
import { realpath } from "node:fs/promises"
import { Socket } from "node:net"
import type { Readable } from "node:stream"
import { isatty, ReadStream } from "node:tty"
import { promisify } from "node:util"
import { type BetFileUnusable, betFileUnusable, type BetInput, readBets } from "./BetFile.ts"
import { spoolBets } from "./BetSpool.ts"

export interface BetSource {
  readonly input: BetInput
  /** The file itself, with all links resolved; undefined for bets from elsewhere. */
  readonly file: string | undefined
}

/** These are read through the process's own descriptor: some systems can't open a socket by a path. */
const namesOfStdin: ReadonlySet<string> = new Set([
  "-",
  "/dev/stdin",
  "/dev/fd/0",
  "/proc/self/fd/0"
])

/** A stream that closes its descriptor as soon as it is destroyed, also while it waits for input. */
const readableOf = (fd: number, isFifo: boolean): Readable => {
  if (isFifo) return new Socket({ fd, readable: true, writable: false })
  return isatty(fd) ? new ReadStream(fd) : createReadStream("", { fd })
}

const openDescriptor = promisify(open)
const statDescriptor = promisify(fstat)
const closeDescriptor = promisify(close)

/** A stream of what can be read only once; undefined for a regular file. */
const openStream = async (path: string): Promise<Readable | undefined> => {
  // Without O_NONBLOCK, opening a FIFO without a writer blocks a thread, and the end of the process.
  const fd = await openDescriptor(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const found = await statDescriptor(fd)
  if (!found.isFile() && !found.isDirectory()) return readableOf(fd, found.isFIFO())
  await closeDescriptor(fd)
  if (found.isFile()) return undefined
  throw Object.assign(new Error("a folder"), { code: "EISDIR" })
}

export const openBets = Effect.fnUntraced(function*(
  path: string
): Effect.fn.Return<BetSource, BetFileUnusable, Scope.Scope> {
  if (namesOfStdin.has(path)) {
    return { input: yield* spoolBets("standard input", process.stdin), file: undefined }
  }
  const stream = yield* Effect.acquireRelease(
    Effect.tryPromise({ try: () => openStream(path), catch: betFileUnusable(path) }),
    (opened) => Effect.sync(() => opened?.destroy())
  )
  if (stream !== undefined) return { input: yield* spoolBets(path, stream), file: undefined }
  const file = yield* Effect.tryPromise({
    try: () => realpath(path),
    catch: betFileUnusable(path)
  })
  return { input: readBets(path), file }
})
