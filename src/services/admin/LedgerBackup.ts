/**
 * `ledger backup`: copies a ledger as it is at one moment into a new file, checks the copy, and only then gives it its
 * name. A server can go on writing meanwhile; its write-ahead log can't be emptied until the copy is made.
 */
import { Effect, Schema } from "effect"
import * as path from "node:path"
import { backup, DatabaseSync } from "node:sqlite"
import { removeDatabase } from "../ledger/sqlite/LedgerPlace.ts"
import { whileOpening } from "../ledger/sqlite/LedgerProblem.ts"
import { readLottery } from "../ledger/sqlite/LotteryTable.ts"
import { syncPath } from "../ledger/sqlite/SyncPath.ts"
import { verifyFile } from "./FileCheck.ts"
import { type LedgerAddress, nameOf } from "./LedgerAddress.ts"
import { linkNew } from "./LinkNew.ts"
import { checkReplaceable, FileExists, type NewFileError } from "./NewFile.ts"
import { attempt, openLedger } from "./ReadLedger.ts"
import type { LedgerReadError } from "./StoredLedger.ts"
import { LedgerDamaged, type Verification } from "./Verification.ts"

/** The ledger is in a database. */
class NoFileToBackUp extends Schema.TaggedError<NoFileToBackUp>()("NoFileToBackUp", {
  path: Schema.String
}) {
  override get message(): string {
    return `${this.path}: a database is backed up with PostgreSQL's own programs: pg_dump for a dump of it as it is now, or `
      + "pg_basebackup and an archive of the write-ahead log to come back to any moment; `loteria ledger copy` makes a file "
      + "of one draw"
  }
}

/** `ledgers` as in {@link checkReplaceable}: a copy under the name of a ledger's own file would be taken for that file. */
export const backupLedger = Effect.fn("LedgerBackup.backupLedger")(function*(
  address: LedgerAddress,
  out: string,
  ledgers: ReadonlyArray<string> = []
): Effect.fn.Return<
  Verification,
  LedgerDamaged | LedgerReadError | NewFileError | NoFileToBackUp
> {
  if (typeof address !== "string") return yield* new NoFileToBackUp({ path: nameOf(address) })
  const file = address
  yield* checkReplaceable(out, { force: undefined, ledgers: [file, ...ledgers] })
  return yield* Effect.scoped(Effect.gen(function*() {
    const partial = yield* temporary(`${out}.partial-${process.pid}`)
    yield* copyLedger(file, partial)
    const verification = yield* verifyFile(partial)
    if (verification.problemCount > 0) {
      return yield* new LedgerDamaged({ path: file, problems: verification.problemCount })
    }
    const named = yield* attemptOn(out, () => {
      syncPath(partial)
      const free = linkNew(partial, out)
      syncPath(path.dirname(path.resolve(out)))
      return free
    })
    return named ? verification : yield* new FileExists({ path: out, forceable: false })
  }))
})

/** For the copy, where an error of the system is also an error of that file. */
const attemptOn = <A>(file: string, work: () => A) =>
  attempt("backup", file, () => whileOpening(file, work))

/** A name for an unfinished copy. A file under it is removed now, in case a killed process left it, and at the end. */
const temporary = (file: string) => {
  const remove = Effect.sync(() => removeDatabase(file))
  return Effect.acquireRelease(Effect.as(remove, file), () => remove)
}

const copyLedger = (file: string, copy: string) =>
  Effect.scoped(Effect.gen(function*() {
    const db = yield* openLedger(file)
    yield* attempt("backup", file, () => {
      // This transaction's view is what is copied. Without it the copy would start again after every write of the server,
      // and might never end.
      db.exec("BEGIN")
      readLottery(db)
    })
    yield* copyPages(db, copy).pipe(
      Effect.catch((error) =>
        attemptOn(copy, () => {
          throw error
        })
      )
    )
    yield* attemptOn(copy, () => detach(copy))
  }))

/** Copied between two looks at whether to go on. */
const pagesAStep = 256

/** An interruption waits for the step under way: the database must not be closed under it. */
const copyPages = (db: DatabaseSync, copy: string): Effect.Effect<void, unknown> =>
  Effect.callback((resume) => {
    let interrupted = false
    const copied = backup(db, copy, {
      rate: pagesAStep,
      progress: () => {
        if (interrupted) throw new Error("interrupted")
      }
    }).then(() => resume(Effect.void), (error: unknown) => resume(Effect.fail(error)))
    return Effect.promise(() => {
      interrupted = true
      return copied
    })
  })

/** Makes the copy a single file that can be moved and read anywhere. */
const detach = (copy: string): void => {
  const db = new DatabaseSync(copy)
  try {
    // A central recognizes its ledger by this token, and must not take a copy that is put in its place for it.
    db.exec("UPDATE fence SET token = 0; PRAGMA journal_mode = DELETE")
  } finally {
    db.close()
  }
}
