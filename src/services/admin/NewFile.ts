/**
 * Files that a command writes where its user says. A file gets its name when it is complete and on disk; until then it has
 * a temporary name in the same folder, which is removed when writing fails or is interrupted. An existing file is left
 * as it is unless it may be replaced, and a file of a ledger is never replaced (see LedgerFiles.ts).
 */
import { Effect, Schema, Stream } from "effect"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import { systemReason } from "../base/SystemReason.ts"
import { syncPath } from "../ledger/sqlite/SyncPath.ts"
import { ledgerOf } from "./LedgerFiles.ts"
import { linkNew } from "./LinkNew.ts"

/** A file exists, and was not to be replaced. */
export class FileExists extends Schema.TaggedError<FileExists>()("FileExists", {
  path: Schema.String,
  /** Whether the command has `--force`. */
  forceable: Schema.Boolean
}) {
  override get message(): string {
    return `${this.path} already exists, and is left as it is; name another place (--out)`
      + (this.forceable ? ", or replace it with --force" : "")
  }
}

/** Whatever is there is never replaced. */
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
  /** Whether an existing file may be replaced; undefined for a command that never does. */
  readonly force: boolean | undefined
  /** Ledgers that must not be replaced, whether they exist or not; others are recognized by their content. */
  readonly ledgers: ReadonlyArray<string>
}

/** Writes the pieces into a new file. Nothing is left of it when that fails or is interrupted. */
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
    // Something else may have appeared at the path meanwhile.
    yield* checkReplaceable(path, options)
    const named = yield* attempt(path, () => {
      if (options.force === true) fs.renameSync(partial.name, path)
      else if (!linkNew(partial.name, path)) return false
      syncPath(dirname(resolve(path)))
      return true
    })
    if (!named) return yield* existing(path, options)
  }))

/** Fails when something is at the path that must stay. Writes nothing. */
export const checkReplaceable = Effect.fnUntraced(function*(
  path: string,
  options: NewFileOptions
): Effect.fn.Return<void, NewFileError> {
  const found = yield* attempt(path, () => ({
    ledger: ledgerOf(path, options.ledgers),
    entry: fs.lstatSync(path, { throwIfNoEntry: false }),
    target: fs.statSync(path, { throwIfNoEntry: false })
  }))
  if (found.ledger !== undefined) {
    const what = found.ledger === path ? "a ledger" : `a file of the ledger ${found.ledger}`
    return yield* new NotReplaceable({ path, what })
  }
  if (found.entry === undefined) return
  // A file would take the place of a device, a pipe or a folder.
  if (found.target?.isFile() === false) {
    return yield* new NotReplaceable({ path, what: "not a regular file" })
  }
  if (options.force !== true) return yield* existing(path, options)
})

const existing = (path: string, { force }: NewFileOptions): FileExists =>
  new FileExists({ path, forceable: force !== undefined })

interface Partial {
  readonly name: string
  readonly handle: FileHandle
}

/**
 * The name is unpredictable and must not exist: the file is neither a link that was placed there in advance nor another
 * command's file.
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

const attempt = <A>(path: string, work: () => A | Promise<A>): Effect.Effect<A, FileUnusable> =>
  Effect.tryPromise({
    try: async () => work(),
    catch: (cause) => new FileUnusable({ path, problem: systemReason(cause) })
  })
