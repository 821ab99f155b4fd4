/** How far the lottery is: which agencies have finished, and whether the draw was held. */
import { Effect, Option } from "effect"
import type { AgencyId } from "../../../domain/Agency.ts"
import type { LedgerUnavailable, LotteryStanding } from "../BetLedger.ts"
import { flag, integer, text } from "./Columns.ts"
import type { DrawRows } from "./DrawRows.ts"
import type { LinkPool } from "./Links.ts"

/** Servers ask every second. `mark` changes with the set of finished agencies, which is long. */
const readMark = `SELECT held_at IS NOT NULL AS held,
    (SELECT count(*) || ' ' || coalesce(sum(agency), 0) FROM agency
      WHERE lottery = $1::bigint AND finished) AS mark
  FROM lottery WHERE id = $1::bigint`

const readFinished =
  "SELECT agency FROM agency WHERE lottery = $1::bigint AND finished ORDER BY agency"

const readOpened =
  `SELECT count(*) FILTER (WHERE finished) AS finished, coalesce(sum(total), 0)::bigint AS bets
  FROM agency a LEFT JOIN LATERAL (
    SELECT total FROM chunk c WHERE c.lottery = $1::bigint AND c.agency = a.agency
    ORDER BY seq DESC LIMIT 1
  ) l ON true
  WHERE a.lottery = $1::bigint`

/** For the log at the start. */
export const readHeld = (links: LinkPool, lottery: number) =>
  Effect.map(
    links.use("open", (connection) => connection.query(readOpened, [BigInt(lottery)])),
    ({ rows: [row] }) => ({ bets: integer(row, "bets"), finished: integer(row, "finished") })
  )

export const standingOf = (
  links: LinkPool,
  lottery: number,
  roster: ReadonlyMap<number, AgencyId>,
  draws: DrawRows
): Effect.Effect<LotteryStanding, LedgerUnavailable> => {
  const id = BigInt(lottery)
  let known: { readonly mark: string; readonly finished: ReadonlySet<AgencyId> } | undefined

  const read = links.use("standing", (connection) =>
    Effect.gen(function*() {
      const { rows: [row] } = yield* connection.query(readMark, [id])
      const [mark, held] = [text(row, "mark"), flag(row, "held")]
      if (known?.mark === mark) return { held, finished: known.finished }
      const { rows } = yield* connection.query(readFinished, [id])
      const finished = new Set(rows.flatMap((one) => roster.get(integer(one, "agency")) ?? []))
      known = { mark, finished }
      return { held, finished }
    }))

  return Effect.gen(function*() {
    const { finished, held } = yield* read
    return { finished, draw: held ? yield* draws.confirmed : Option.none() }
  })
}
