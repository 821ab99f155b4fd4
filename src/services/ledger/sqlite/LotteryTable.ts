/** The table `lottery`: which lottery the ledger is of. */
import type { DatabaseSync } from "node:sqlite"
import { drawNameOfTime } from "../DrawNameOfTime.ts"
import { rowChecksum } from "../RowChecksum.ts"
import { readMark } from "./AcknowledgedMark.ts"
import { integer, text } from "./Columns.ts"
import { LedgerProblem, refuseDamage } from "./LedgerProblem.ts"
import type { WriterConfig } from "./WriterConfig.ts"

export interface LotteryRecord {
  /** In the notation of the configuration. */
  readonly roster: string
  readonly winningNumber: number
  /** The draw's name. */
  readonly draw: string
}

/**
 * What the ledger began with; undefined when the process died between its first two transactions. `onDamage` is called
 * where that isn't what was stored.
 */
export const readLottery = (
  db: DatabaseSync,
  onDamage: (problem: string) => void = refuseDamage
): LotteryRecord | undefined => {
  const row = db.prepare("SELECT roster, winning_number, draw, checksum FROM lottery").get()
  if (row === undefined) return undefined
  const [roster, winningNumber] = [text(row, "roster"), integer(row, "winning_number")]
  const draw = text(row, "draw")
  if (row["checksum"] !== rowChecksum(roster, winningNumber, draw)) {
    onDamage("the lottery is not the one that the ledger began with")
  }
  return { roster, winningNumber, draw }
}

/** When the lottery began: UTC, ISO 8601. */
export const readBeganAt = (db: DatabaseSync): string | undefined => {
  const row = db.prepare("SELECT began_at FROM lottery").get()
  return row && text(row, "began_at")
}

/** Begins the lottery (true), or makes sure that it is the one that the ledger began with (false). */
export const beginLottery = (db: DatabaseSync, config: WriterConfig): boolean => {
  const lottery = readLottery(db)
  if (lottery === undefined) {
    readMark(config.path).compare(undefined, 0)
    const { draw = drawNameOfTime(new Date()), roster, winningNumber } = config
    db.prepare(
      "INSERT INTO lottery (id, roster, winning_number, draw, checksum) VALUES (1, ?, ?, ?, ?)"
    ).run(roster, winningNumber, draw, rowChecksum(roster, winningNumber, draw))
    return true
  }
  requireSame("agencies", lottery.roster, config.roster)
  requireSame("winning number", String(lottery.winningNumber), String(config.winningNumber))
  if (config.draw !== undefined) requireSame("draw", lottery.draw, config.draw)
  return false
}

const requireSame = (
  what: "agencies" | "winning number" | "draw",
  ledger: string,
  configured: string
): void => {
  if (ledger !== configured) {
    throw new LedgerProblem({ kind: "Mismatch", what, ledger, configured })
  }
}
