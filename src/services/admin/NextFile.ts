/**
 * `ledger begin` for a ledger in a file: puts a new ledger in the place of one whose draw was held, which is kept under
 * another name, or of one in which nothing is stored, which is removed. At every moment a complete ledger is at the path,
 * the old one or the new one: after a crash in between the command is run again. It holds the lock that a server would
 * hold.
 */
import { Effect, Schema, type Scope } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { formatRoster } from "../../domain/Agency.ts"
import { LedgerUnavailable } from "../ledger/BetLedger.ts"
import { text } from "../ledger/sqlite/Columns.ts"
import { readHeldAt } from "../ledger/sqlite/DrawTable.ts"
import {
  nextOf,
  removeDatabase,
  takePlace,
  unfinishedNextOf
} from "../ledger/sqlite/LedgerPlace.ts"
import { whileOpening } from "../ledger/sqlite/LedgerProblem.ts"
import { readLottery } from "../ledger/sqlite/LotteryTable.ts"
import { openForWriting, openReadOnly } from "../ledger/sqlite/OpenLedger.ts"
import { primaryCode, sqliteCode } from "../ledger/sqlite/SqliteCodes.ts"
import { readStandings } from "../ledger/sqlite/Standings.ts"
import { syncPath } from "../ledger/sqlite/SyncPath.ts"
import { readTold } from "../ledger/sqlite/ToldTable.ts"
import { type WriterConfig, writerDefaults } from "../ledger/sqlite/WriterConfig.ts"
import { linkNew } from "./LinkNew.ts"
import {
  type Begun,
  type NewLottery,
  nextDrawName,
  type OldLottery,
  oldLotteryOf,
  type Refusal,
  refusalOf
} from "./NextLottery.ts"
import { attempt } from "./ReadLedger.ts"
import type { LedgerReadError } from "./StoredLedger.ts"

/** The name that the old ledger would get is taken. */
export class ArchiveExists extends Schema.TaggedError<ArchiveExists>()("ArchiveExists", {
  path: Schema.String
}) {
  override get message(): string {
    return `${this.path} already exists, and is left as it is; move it away`
  }
}

/** `file` may or may not exist. `anyway`: even where agencies would lose something. */
export const beginFile = Effect.fnUntraced(
  function*(
    file: string,
    lottery: NewLottery,
    anyway = false
  ): Effect.fn.Return<Begun, Refusal | ArchiveExists | LedgerReadError, Scope.Scope> {
    const { file: place } = yield* takeLedger(file)
    const step = <A>(work: () => A) => attempt("begin", file, () => whileOpening(place, work))
    const old = yield* step(() => fs.existsSync(place) ? readOld(place) : undefined)
    if (old !== undefined) {
      const refusal = refusalOf(file, "file", old, lottery, anyway)
      if (refusal !== undefined) return yield* refusal
      if (!(yield* step(() => mergeLog(place)))) {
        const cause = new Error("another program has it open; close it and try again")
        return yield* new LedgerUnavailable({ operation: "begin", cause })
      }
    }
    const draw = lottery.draw ?? nextDrawName(old)
    const next = yield* step(() => writeNext(place, lottery, draw))
    const archive = old?.heldAt === undefined ? undefined : archiveName(place, old.heldAt)
    if (archive !== undefined && !(yield* step(() => linkNew(place, archive)))) {
      yield* step(() => fs.rmSync(next))
      return yield* new ArchiveExists({ path: archive })
    }
    yield* step(() => {
      // The old ledger must have its second name on disk before it loses the first.
      syncPath(path.dirname(place))
      fs.renameSync(next, place)
      syncPath(path.dirname(place))
    })
    return { draw, archive, beside: undefined }
  },
  Effect.scoped,
  Effect.uninterruptible
)

const takeLedger = (file: string) =>
  Effect.acquireRelease(
    attempt("begin", file, () => takePlace(path.resolve(file))),
    ({ lock }) => Effect.sync(() => lock.close())
  )

/** Undefined when no lottery has begun in the file. */
const readOld = (file: string): OldLottery | undefined => {
  const db = openReadOnly(file, writerDefaults.busyTimeoutMs)
  try {
    const lottery = readLottery(db)
    if (lottery === undefined) return undefined
    return oldLotteryOf(lottery, readStandings(db), readHeldAt(db), readTold(db))
  } finally {
    db.close()
  }
}

/** `ledger.sqlite`, held at 2026-12-31T20:15:00Z, becomes `ledger-2026-12-31T20-15-00Z.sqlite`. */
const archiveName = (file: string, heldAt: string): string => {
  const { dir, ext, name } = path.parse(file)
  return path.join(dir, `${name}-${heldAt.replaceAll(":", "-")}${ext}`)
}

/** Brings everything into the one file, which then needs no log beside it. False when another program reads it. */
const mergeLog = (file: string): boolean => {
  const db = new DatabaseSync(file, { timeout: writerDefaults.busyTimeoutMs })
  try {
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)")
    return text(db.prepare("PRAGMA journal_mode = DELETE").get(), "journal_mode") === "delete"
  } catch (error) {
    if (primaryCode(error) === sqliteCode.busy) return false
    throw error
  } finally {
    db.close()
  }
}

/** Writes the new ledger beside the place. It has its name there only when it is complete and on disk. */
const writeNext = (
  place: string,
  { roster, winningNumber }: NewLottery,
  draw: string
): string => {
  const unfinished = unfinishedNextOf(place)
  removeDatabase(unfinished)
  const config: WriterConfig = {
    ...writerDefaults,
    path: unfinished,
    roster: formatRoster(roster),
    agencies: roster,
    winningNumber,
    draw
  }
  const db = openForWriting(config)
  try {
    db.exec("PRAGMA wal_checkpoint(TRUNCATE)")
  } finally {
    db.close()
  }
  const next = nextOf(place)
  fs.renameSync(unfinished, next)
  syncPath(path.dirname(next))
  return next
}
