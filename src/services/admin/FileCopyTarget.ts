/**
 * Copies a ledger into a file, which has another name until it is complete. Meanwhile the lock of its place is held: no
 * server can begin a ledger there.
 */
import { Effect } from "effect"
import * as fs from "node:fs"
import { dirname, resolve } from "node:path"
import type { DatabaseSync } from "node:sqlite"
import { chunkChecksum } from "../ledger/ChunkChecksum.ts"
import { attempt as attemptAny } from "../ledger/embedded/TypedErrors.ts"
import { readLastChunk } from "../ledger/sqlite/ChunkTable.ts"
import { writeDraw } from "../ledger/sqlite/DrawTable.ts"
import { preparePlace, takePlace, unfinishedCopyOf } from "../ledger/sqlite/LedgerPlace.ts"
import { whileOpening } from "../ledger/sqlite/LedgerProblem.ts"
import { openForWriting } from "../ledger/sqlite/OpenLedger.ts"
import { writeSnapshot } from "../ledger/sqlite/SnapshotTable.ts"
import { syncPath } from "../ledger/sqlite/SyncPath.ts"
import { writeTold } from "../ledger/sqlite/ToldTable.ts"
import { writerDefaults } from "../ledger/sqlite/WriterConfig.ts"
import { type CopyTarget, TargetOccupied } from "./CopyTarget.ts"
import { fileLedger } from "./FileLedger.ts"
import { linkNew } from "./LinkNew.ts"
import { attempt } from "./ReadLedger.ts"
import { agenciesOf, type LedgerState, type StoredChunk } from "./StoredLedger.ts"

export const openFileTarget = Effect.fnUntraced(function*(
  path: string,
  lottery: LedgerState["lottery"]
) {
  const { file } = yield* Effect.acquireRelease(
    attempt("copy", path, () => {
      mendNaming(preparePlace(resolve(path)))
      return takePlace(resolve(path))
    }),
    ({ lock }) => Effect.sync(() => lock.close())
  )
  if (fs.existsSync(file)) return completeTarget(path)
  const partial = unfinishedCopyOf(file)
  const db = yield* Effect.acquireRelease(
    openPartial(partial, lottery),
    (opened) => Effect.sync(() => opened.isOpen && opened.close())
  )
  const target: CopyTarget = {
    stored: fileLedger(partial),
    isComplete: false,
    append: (chunks) => attempt("copy", partial, () => appendTo(db, chunks)),
    complete: (state) =>
      Effect.flatMap(
        attempt("copy", path, () => whileOpening(path, () => complete(db, partial, file, state))),
        (isNamed) =>
          isNamed ? Effect.void : new TargetOccupied({ path, what: "a file has appeared there" })
      )
  }
  return target
})

/** A copy that was killed between its last two steps has two names. */
const mendNaming = (file: string): void => {
  const partial = unfinishedCopyOf(file)
  const [one, other] = [file, partial].map((name) => fs.statSync(name, { throwIfNoEntry: false }))
  if (one !== undefined && one.ino === other?.ino && one.dev === other.dev) fs.rmSync(partial)
}

const completeTarget = (path: string): CopyTarget => ({
  stored: fileLedger(path),
  isComplete: true,
  append: () => Effect.die(new Error("a complete ledger is not written to")),
  complete: () => Effect.die(new Error("a complete ledger is not written to"))
})

const openPartial = (partial: string, lottery: LedgerState["lottery"]) =>
  attemptAny("copy", partial, () => {
    const { beganAt, draw, roster, winningNumber } = lottery
    const agencies = agenciesOf(lottery)
    const config = { ...writerDefaults, path: partial, roster, agencies, winningNumber, draw }
    const db = openForWriting(config)
    db.prepare("UPDATE lottery SET began_at = ?").run(beganAt)
    return db
  }).pipe(
    Effect.catchTag("LedgerMismatch", ({ ledger, what }) =>
      new TargetOccupied({
        path: partial,
        what: `an unfinished copy of another ledger is there, with ${what} ${ledger}`
      }))
  )

const inTransaction = (db: DatabaseSync, work: () => void): void => {
  db.exec("BEGIN IMMEDIATE")
  try {
    work()
    db.exec("COMMIT")
  } finally {
    if (db.isTransaction) db.exec("ROLLBACK")
  }
}

const appendTo = (db: DatabaseSync, chunks: ReadonlyArray<StoredChunk>): void =>
  inTransaction(db, () => {
    const insert = db.prepare(
      `INSERT INTO chunk (agency, seq, last, bets, numbers, body, checksum)
       VALUES (?, ?, ?, ?, ?, CAST(? AS TEXT), ?)`
    )
    for (const { agency, bets, body, last, numbers, seq } of chunks) {
      const mark = last ? 1 : 0
      const checksum = chunkChecksum(agency, seq, mark, bets, numbers, body)
      insert.run(agency, seq, mark, bets, numbers, body, checksum)
    }
  })

/** False when another file has the name. */
const complete = (
  db: DatabaseSync,
  partial: string,
  file: string,
  { held, standings, told }: LedgerState
): boolean => {
  inTransaction(db, () => {
    if (held !== undefined) {
      const { draw: { heldAt, winningNumber }, winners } = held
      writeDraw(db, { winningNumber, winners })
      db.prepare("UPDATE draw SET held_at = ?").run(heldAt)
    }
    writeTold(db, [...told.values()])
    // A start reads it instead of all chunks.
    writeSnapshot(db, readLastChunk(db), standings)
  })
  db.exec("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE")
  db.close()
  syncPath(partial)
  if (!linkNew(partial, file)) return false
  syncPath(dirname(file))
  fs.rmSync(partial, { force: true })
  syncPath(dirname(file))
  return true
}
