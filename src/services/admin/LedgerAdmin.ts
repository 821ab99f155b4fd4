/**
 * What an operator does with a ledger's file: look at it, check it, back it up, begin the next one. All but the last
 * work while a server writes to it. Nothing that exists is ever overwritten.
 */
import { Effect, Option, Schema } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { backup as copyPages, DatabaseSync } from "node:sqlite"
import { formatRoster, parseRoster, type Roster } from "../../domain/Agency.ts"
import type { DrawName, WinningNumber } from "../../domain/Draw.ts"
import { agenciesCeiling } from "../../domain/Limits.ts"
import { LedgerInUse, LedgerUnavailable, LedgerUnreadable } from "../ledger/BetLedger.ts"
import { integer, text } from "../ledger/sqlite/Columns.ts"
import { toFailure, whileOpening } from "../ledger/sqlite/LedgerProblem.ts"
import { readLottery } from "../ledger/sqlite/LotteryTable.ts"
import { openReadOnly } from "../ledger/sqlite/OpenLedger.ts"
import { syncPath } from "../ledger/sqlite/SyncPath.ts"
import { readTold } from "../ledger/sqlite/ToldTable.ts"
import { writerDefaults } from "../ledger/sqlite/WriterConfig.ts"
import { LedgerCheck, type Verification } from "./LedgerCheck.ts"
import { beginNext, linkNew, type Outcome } from "./NextLedger.ts"

/** Something was to be written where something is. */
export class AlreadyExists extends Schema.TaggedError<AlreadyExists>()("AlreadyExists", {
  path: Schema.String
}) {
  override get message(): string {
    return `${this.path} already exists, and is left as it is; name another file or move it away`
  }
}

/** The lottery of this ledger is not over. */
export class DrawNotHeld extends Schema.TaggedError<DrawNotHeld>()("DrawNotHeld", {
  path: Schema.String
}) {
  override get message(): string {
    return `${this.path}: its draw has not been held; hold it, or begin another file (--ledger)`
  }
}

/** Agencies would lose something by it. */
export class AgenciesUnsettled
  extends Schema.TaggedError<AgenciesUnsettled>()("AgenciesUnsettled", {
    path: Schema.String,
    reasons: Schema.Array(Schema.String)
  })
{
  override get message(): string {
    return `${this.path}: ${
      this.reasons.join("; ")
    }. Once the next draw has begun, they can't ask for this one any `
      + "more. Let them ask first, or go on with --yes"
  }
}

/** The next draw was to have the name of the one before it. */
export class DrawNameTaken extends Schema.TaggedError<DrawNameTaken>()("DrawNameTaken", {
  path: Schema.String,
  draw: Schema.String
}) {
  override get message(): string {
    return `${this.path}: the draw that is put aside is called ${this.draw}; give the next one another name `
      + "(lottery.draw, DRAW, or --draw), or none"
  }
}

/** The ledger doesn't keep what it promises. */
export class LedgerDamaged extends Schema.TaggedError<LedgerDamaged>()("LedgerDamaged", {
  path: Schema.String,
  problems: Schema.Int
}) {
  override get message(): string {
    return `${this.path}: ${this.problems} ${this.problems === 1 ? "problem" : "problems"}; `
      + "stop the server and restore the ledger from a backup"
  }
}

export type LedgerAdminError =
  | AgenciesUnsettled
  | AlreadyExists
  | DrawNameTaken
  | DrawNotHeld
  | LedgerDamaged
  | LedgerInUse
  | LedgerUnavailable
  | LedgerUnreadable

export interface LedgerInfo {
  readonly path: string
  /** With its write-ahead log. */
  readonly bytes: number
  /** UTC, ISO 8601. */
  readonly beganAt: string
  readonly drawName: string
  /** In the notation of the configuration. */
  readonly roster: string
  readonly winningNumber: number
  readonly agencies: number
  readonly finished: number
  readonly chunks: number
  readonly bets: number
  readonly draw: { readonly heldAt: string; readonly winners: number } | undefined
  /** How many agencies have surely been told their winners. */
  readonly told: number
}

const { busyTimeoutMs } = writerDefaults

/** Pages copied between two looks at whether to go on. */
const pagesAStep = 256

export const ledgerInfo = Effect.fn("LedgerAdmin.info")(function*(file: string) {
  const db = yield* open(file)
  return yield* attempt("info", file, () => readInfo(db, file))
}, Effect.scoped)

/** Checks everything; fails only when it can't. */
export const verifyLedger = Effect.fn("LedgerAdmin.verify")(function*(file: string) {
  const db = yield* open(file)
  const check = new LedgerCheck(db)
  // Between two slices, signals and whoever asked get their turn.
  while (yield* attempt("verify", file, () => check.next())) yield* Effect.yieldNow
  return check.result
}, Effect.scoped)

/**
 * Copies a ledger as it is at this moment into a new file of its own, checks the copy, and gives it its name only then.
 * A server goes on meanwhile; its log can't be emptied until the copy is made.
 */
export const backupLedger = Effect.fn("LedgerAdmin.backup")(function*(
  file: string,
  out: string
): Effect.fn.Return<Verification, LedgerAdminError> {
  if (fs.existsSync(out)) return yield* new AlreadyExists({ path: out })
  return yield* Effect.scoped(Effect.gen(function*() {
    const partial = yield* temporary(`${out}.partial-${process.pid}`)
    yield* copyLedger(file, partial)
    const verification = yield* verifyLedger(partial)
    if (verification.problemCount > 0) {
      return yield* new LedgerDamaged({ path: file, problems: verification.problemCount })
    }
    const named = yield* attempt("backup", out, () => {
      syncPath(partial)
      const free = linkNew(partial, out)
      syncPath(path.dirname(path.resolve(out)))
      return free
    })
    return named ? verification : yield* new AlreadyExists({ path: out })
  }))
})

export interface NewLottery {
  readonly roster: Roster
  readonly winningNumber: WinningNumber
  /** Without one the draw is called by the time. */
  readonly draw?: DrawName | undefined
}

export interface Begun {
  readonly draw: string
  /** Where the ledger that was there is now, if there was one that held anything. */
  readonly archive: string | undefined
}

/** Begins a lottery in a new file; `anyway`: also where agencies would lose something by it. */
export const beginLedger = Effect.fn("LedgerAdmin.begin")(function*(
  file: string,
  { draw, roster, winningNumber }: NewLottery,
  anyway = false
): Effect.fn.Return<Begun, LedgerAdminError> {
  const outcome: Outcome = yield* attempt("begin", file, () =>
    beginNext({
      ...writerDefaults,
      path: path.resolve(file),
      roster: formatRoster(roster),
      agencies: roster,
      winningNumber,
      draw
    }, anyway))
  switch (outcome._tag) {
    case "Begun":
      return { draw: outcome.draw, archive: outcome.archive }
    case "NotDrawn":
      return yield* new DrawNotHeld({ path: file })
    case "Unsettled":
      return yield* new AgenciesUnsettled({ path: file, reasons: outcome.reasons })
    case "SameDraw":
      return yield* new DrawNameTaken({ path: file, draw: outcome.draw })
    case "ArchiveExists":
      return yield* new AlreadyExists({ path: outcome.archive })
    case "BeingRead":
      return yield* new LedgerUnavailable({
        operation: "begin",
        cause: new Error("another program has it open; close it and try again")
      })
  }
})

const attempt = <A>(operation: string, file: string, work: () => A) =>
  Effect.suspend((): Effect.Effect<
    A,
    LedgerInUse | LedgerUnavailable | LedgerUnreadable
  > => {
    try {
      return Effect.succeed(whileOpening(file, work))
    } catch (error) {
      const failure = toFailure(error)
      switch (failure.kind) {
        case "InUse":
          return Effect.fail(new LedgerInUse({ path: file }))
        case "Unreadable":
          return Effect.fail(new LedgerUnreadable({ path: file, problem: failure.problem }))
        case "Unavailable":
          return Effect.fail(
            new LedgerUnavailable({
              operation,
              cause: new Error(failure.message, { cause: error })
            })
          )
        case "Mismatch":
        case "Displaced":
        case "Defect":
          return Effect.die(error)
      }
    }
  })

const open = (file: string) =>
  Effect.acquireRelease(
    attempt("open", file, () => openReadOnly(file, busyTimeoutMs)),
    (db) => Effect.sync(() => db.close())
  )

/** A name for what isn't whole yet. What is under it, from a process that was killed or at the end, is removed. */
const temporary = (file: string) => {
  const remove = Effect.sync(() => {
    for (const rest of ["", "-wal", "-shm", "-journal"]) fs.rmSync(file + rest, { force: true })
  })
  return Effect.acquireRelease(Effect.as(remove, file), () => remove)
}

const copyLedger = (file: string, copy: string) =>
  Effect.scoped(Effect.gen(function*() {
    const db = yield* open(file)
    yield* attempt("backup", file, () => {
      // What this transaction sees is what is copied. Without it, a copy of a ledger that is written to begins anew
      // after every write, and need not end.
      db.exec("BEGIN")
      readLottery(db)
    })
    yield* copyAll(db, copy).pipe(
      Effect.catch((error) =>
        attempt("backup", copy, () => {
          throw error
        })
      )
    )
    yield* attempt("backup", copy, () => leaveOneFile(copy))
  }))

/** An interruption waits for the step in hand: the database must not be closed under it. */
const copyAll = (db: DatabaseSync, copy: string): Effect.Effect<void, unknown> =>
  Effect.callback((resume) => {
    let interrupted = false
    const copied = copyPages(db, copy, {
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

/** The copy needs no log beside it, so it can be moved and read anywhere. */
const leaveOneFile = (file: string): void => {
  const db = new DatabaseSync(file)
  try {
    // Put over the ledger of a running central, it would pass for that: no central has taken this token.
    db.exec("UPDATE fence SET token = 0; PRAGMA journal_mode = DELETE")
  } finally {
    db.close()
  }
}

const readInfo = (db: DatabaseSync, file: string): LedgerInfo => {
  db.exec("BEGIN")
  try {
    const began = db.prepare("SELECT began_at FROM lottery").get()
    const lottery = readLottery(db)
    const sums = db.prepare(
      "SELECT coalesce(sum(seq), 0) AS chunks, coalesce(sum(bets), 0) AS bets, "
        + "coalesce(sum(finished), 0) AS finished FROM agency"
    ).get()
    const draw = db.prepare(
      "SELECT held_at, (SELECT count(*) FROM winner) AS winners FROM draw"
    ).get()
    return {
      path: file,
      bytes: sizeOf(file) + sizeOf(`${file}-wal`),
      beganAt: text(began, "began_at"),
      drawName: lottery?.draw ?? "",
      roster: lottery?.roster ?? "",
      winningNumber: lottery?.winningNumber ?? -1,
      agencies: Option.match(parseRoster(lottery?.roster ?? "", agenciesCeiling), {
        onNone: () => 0,
        onSome: (roster) => roster.length
      }),
      finished: integer(sums, "finished"),
      chunks: integer(sums, "chunks"),
      bets: integer(sums, "bets"),
      draw: draw && { heldAt: text(draw, "held_at"), winners: integer(draw, "winners") },
      told: [...readTold(db).values()].filter(({ how }) => how === "confirmed").length
    }
  } finally {
    db.exec("COMMIT")
  }
}

const sizeOf = (file: string): number => fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0
