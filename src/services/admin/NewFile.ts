/**
 * Files that a command writes where its user says. A file appears under its name when it is whole and on disk: until
 * then it has a name of its own beside it, which is removed when writing fails or is interrupted. What is there is left
 * as it is unless it may be replaced, and a file of a ledger never is, by whatever name, link or path it is reached:
 * a server would go on acknowledging bets into a file that nobody finds any more.
 */
import { Effect, Schema, Stream } from "effect"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import { basename, dirname, join, resolve } from "node:path"
import { systemReason } from "../base/SystemReason.ts"
import { placeOf } from "../ledger/sqlite/LedgerPlace.ts"
import { syncPath } from "../ledger/sqlite/SyncPath.ts"
import { applicationId } from "../ledger/sqlite/Tables.ts"
import { linkNew } from "./NextLedger.ts"

/** Something is there, and wasn't to be replaced. */
export class FileExists extends Schema.TaggedError<FileExists>()("FileExists", {
  path: Schema.String
}) {
  override get message(): string {
    return `${this.path} already exists, and is left as it is; name another place (--out), or replace it with --force`
  }
}

/** It is not for us to replace that. */
export class NotReplaceable extends Schema.TaggedError<NotReplaceable>()("NotReplaceable", {
  path: Schema.String,
  what: Schema.String
}) {
  override get message(): string {
    return `${this.path} is ${this.what}, which is never replaced; name another place (--out)`
  }
}

/** The file can't be written. */
export class FileUnusable extends Schema.TaggedError<FileUnusable>()("FileUnusable", {
  path: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.path}: ${this.problem}`
  }
}

export type NewFileError = FileExists | NotReplaceable | FileUnusable

export interface NewFileOptions {
  /** Whether a file that is there may be replaced. */
  readonly force: boolean
  /** Ledgers that are known, whether or not they exist; others are known by what is in them. */
  readonly ledgers: ReadonlyArray<string>
}

/** Writes the pieces into a new file; nothing is left of it when that fails or is interrupted. */
export const writeNewFile = <E, R>(
  path: string,
  pieces: Stream.Stream<Uint8Array, E, R>,
  options: NewFileOptions
): Effect.Effect<void, E | NewFileError, R> =>
  Effect.scoped(Effect.gen(function*() {
    yield* checkReplaceable(path, options)
    const partial = yield* openPartial(path)
    yield* Stream.runForEach(
      pieces,
      (piece) => attempt(path, () => partial.handle.writeFile(piece))
    )
    yield* attempt(path, () => partial.handle.sync())
    // What was there at the start need not be what is there now.
    yield* checkReplaceable(path, options)
    yield* attempt(path, async () => {
      if (options.force) fs.renameSync(partial.name, path)
      else if (!linkNew(partial.name, path)) throw new FileExists({ path })
      syncPath(dirname(resolve(path)))
    })
  }))

/** Fails when something is there that must stay. Reads only. */
export const checkReplaceable = (
  path: string,
  { force, ledgers }: NewFileOptions
): Effect.Effect<void, NewFileError> =>
  attempt(path, async () => {
    const ledger = ledgerOf(path, ledgers)
    if (ledger !== undefined) {
      const of = ledger === path ? "a ledger" : `a file of the ledger ${ledger}`
      throw new NotReplaceable({ path, what: of })
    }
    if (fs.lstatSync(path, { throwIfNoEntry: false }) === undefined) return
    const found = fs.statSync(path, { throwIfNoEntry: false })
    // A device, a pipe or a folder: a file would take its place.
    if (found?.isFile() === false) throw new NotReplaceable({ path, what: "not a regular file" })
    if (!force) throw new FileExists({ path })
  })

/** What a ledger has beside it: the log and its index, an older form of log, the lock, the mark, and a next ledger. */
const besides = ["-wal", "-shm", "-journal", ".lock", ".mark", ".next", ".next.partial"]

/** The ledger that a file is, or belongs to. */
const ledgerOf = (path: string, known: ReadonlyArray<string>): string | undefined => {
  const place = nameOnDisk(path)
  const found = fs.statSync(path, { throwIfNoEntry: false })
  if (found?.isFile() === true && isLedger(path)) return path
  for (const rest of besides) {
    const beside = place.endsWith(rest) ? place.slice(0, -rest.length) : undefined
    if (beside !== undefined && isLedger(beside)) return beside
  }
  return known.find((ledger) =>
    [...new Set([nameOnDisk(ledger), targetOf(ledger)])].some((name) =>
      ["", ...besides].some((rest) => {
        if (place === name + rest) return true
        const file = fs.statSync(name + rest, { throwIfNoEntry: false })
        return file !== undefined && file.ino === found?.ino && file.dev === found.dev
      })
    )
  )
}

/** The name with its folder's links resolved, the last part as it is; also of what isn't there. */
const nameOnDisk = (path: string): string => {
  const absolute = resolve(path)
  try {
    return join(fs.realpathSync(dirname(absolute)), basename(absolute))
  } catch {
    return absolute
  }
}

/** Where a link leads, also if nothing is there yet. */
const targetOf = (path: string): string => {
  try {
    return placeOf(path)
  } catch {
    return nameOnDisk(path)
  }
}

/** Where an SQLite file's header says which application's it is. */
const headerBytes = 72
const applicationIdAt = 68

const isLedger = (path: string): boolean => {
  let descriptor: number
  try {
    // A pipe without a writer would block.
    descriptor = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
  } catch {
    return false
  }
  try {
    const header = Buffer.alloc(headerBytes)
    return fs.readSync(descriptor, header, 0, headerBytes, 0) === headerBytes
      && header.toString("latin1", 0, 15) === "SQLite format 3"
      && header.readInt32BE(applicationIdAt) === applicationId
  } catch {
    return false
  } finally {
    fs.closeSync(descriptor)
  }
}

interface Partial {
  readonly name: string
  readonly handle: FileHandle
}

/**
 * A name that nobody can foresee and that isn't there: what it is opened as is never a link that somebody has laid, nor
 * another command's.
 */
const openPartial = (path: string) =>
  Effect.acquireRelease(
    attempt(path, async (): Promise<Partial> => {
      const name = join(dirname(path), `.loteria-${randomBytes(8).toString("hex")}.partial`)
      const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = fs.constants
      return { name, handle: await open(name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o666) }
    }),
    ({ handle, name }) =>
      Effect.promise(async () => {
        await handle.close().catch(() => {})
        fs.rmSync(name, { force: true })
      })
  )

const attempt = <A>(path: string, work: () => Promise<A>): Effect.Effect<A, NewFileError> =>
  Effect.tryPromise({
    try: work,
    catch: (cause) =>
      cause instanceof FileExists || cause instanceof NotReplaceable
        ? cause
        : new FileUnusable({ path, problem: systemReason(cause) })
  })
