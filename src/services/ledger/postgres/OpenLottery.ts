/**
 * Finds the lottery that a server serves, or begins it. Which one that is: the one whose draw has the configured name;
 * without a name the one that began last; where there is none at all, a new one that is named after the time. Several
 * servers that start at once agree, because the keys of `lottery` let one of them begin it.
 */
import { Effect, Option, Schema } from "effect"
import { formatRoster, type Roster } from "../../../domain/Agency.ts"
import { DrawName, type WinningNumber } from "../../../domain/Draw.ts"
import { LedgerMismatch, LedgerUnreadable } from "../BetLedger.ts"
import { drawNameOfTime } from "../DrawNameOfTime.ts"
import { rowChecksum } from "../RowChecksum.ts"
import { integer, isNull, type Row, text } from "./Columns.ts"
import type { LinkPool } from "./Links.ts"
import { damaged } from "./SqlFailures.ts"
import { unfinishedCopy, unfinishedProblem } from "./UnfinishedCopy.ts"

export interface LotteryConfig {
  readonly roster: Roster
  readonly winningNumber: WinningNumber
  readonly draw: DrawName | undefined
}

/** Why a server ends that finds another lottery under the id of the one that it opened. */
export const replacedProblem =
  "the lottery was begun anew with other values since this server opened it; start all its servers again"

/** `shown` is the database's address for messages. The `checksum` is that of the lottery's values. */
export const openLottery = Effect.fnUntraced(function*(
  links: LinkPool,
  config: LotteryConfig,
  shown: string
) {
  const found = yield* findLottery(links, config.draw)
  if (Option.isSome(found)) return yield* compare(found.value, config, shown)
  const name = config.draw ?? DrawName.make(drawNameOfTime(new Date()))
  const id = yield* beginLottery(links, config, name)
  if (Option.isSome(id)) {
    const checksum = checksumOf(config, name)
    return { id: id.value, checksum, drawName: name, isNew: true }
  }
  // Another server was faster.
  const theirs = yield* findLottery(links, config.draw)
  return yield* Option.match(theirs, {
    onNone: () =>
      new LedgerUnreadable({ path: shown, problem: "its lottery was removed meanwhile" }),
    onSome: (row) => compare(row, config, shown)
  })
})

const columns = "id, draw, roster, winning_number, checksum"

const findLottery = (links: LinkPool, draw: DrawName | undefined) =>
  links.use("open", (connection) =>
    Effect.map(
      draw === undefined
        ? connection.query(
          `SELECT ${columns} FROM lottery ORDER BY began_at DESC, id DESC LIMIT 1`
        )
        : connection.query(`SELECT ${columns} FROM lottery WHERE draw = $1`, [draw]),
      ({ rows }): Option.Option<Row> => Option.fromUndefinedOr(rows[0])
    ))

const checksumOf = ({ roster, winningNumber }: LotteryConfig, name: string): number =>
  rowChecksum(formatRoster(roster), winningNumber, name)

/** None if there is one already. */
const beginLottery = (links: LinkPool, config: LotteryConfig, name: DrawName) => {
  const { draw, winningNumber } = config
  const roster = formatRoster(config.roster)
  return links.use("open", (connection) =>
    Effect.map(
      connection.query("SELECT begin_lottery($1, $2, $3, $4, $5, $6) AS id", [
        draw === undefined,
        name,
        roster,
        winningNumber,
        BigInt(checksumOf(config, name)),
        config.roster.map(BigInt)
      ]),
      ({ rows: [row] }) =>
        isNull(row, "id") ? Option.none<number>() : Option.some(integer(row, "id"))
    ))
}

const compare = Effect.fnUntraced(function*(row: Row, config: LotteryConfig, path: string) {
  const roster = text(row, "roster")
  const winningNumber = integer(row, "winning_number")
  const draw = text(row, "draw")
  const checksum = integer(row, "checksum")
  if (checksum === unfinishedCopy) {
    return yield* new LedgerUnreadable({ path, problem: unfinishedProblem(draw) })
  }
  if (checksum !== rowChecksum(roster, winningNumber, draw)) {
    return yield* damaged("open", `the lottery ${draw} is not the one that began`)
  }
  const compared = [
    ["agencies", roster, formatRoster(config.roster)],
    ["winning number", String(winningNumber), String(config.winningNumber)]
  ] as const
  for (const [what, ledger, configured] of compared) {
    if (ledger !== configured) return yield* new LedgerMismatch({ path, what, ledger, configured })
  }
  const drawName = yield* Effect.mapError(
    Schema.decodeUnknownEffect(DrawName)(draw),
    () => new LedgerUnreadable({ path, problem: "its draw's name is not a valid name" })
  )
  return { id: integer(row, "id"), checksum, drawName, isNew: false }
})
