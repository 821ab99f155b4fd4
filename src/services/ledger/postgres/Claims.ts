/**
 * Claims of agencies. Those that are asked for while some are under way go together in the next batch: after a failover
 * every agency comes at once.
 *
 * A batch is two statements in one write. The first counts the epochs up, which waits for whoever is storing for one of the
 * agencies, or has what comes later stored no more. The second reads the last chunks: in the same statement it would see
 * them as they were before that wait.
 */
import { Deferred, Effect, Exit } from "effect"
import type { AgencyId } from "../../../domain/Agency.ts"
import { type Claim, Epoch } from "../../../domain/Claim.ts"
import { InvariantBroken } from "../../../domain/Invariant.ts"
import type { LedgerUnavailable } from "../BetLedger.ts"
import { flag, integer, isNull, type Row } from "./Columns.ts"
import type { LinkPool } from "./Links.ts"
import { replacedProblem } from "./OpenLottery.ts"
import { unavailable } from "./SqlFailures.ts"

export interface ClaimsOptions {
  /** With a `lock_timeout` of its own. */
  readonly links: LinkPool
  readonly lottery: number
  /** Of its values. */
  readonly checksum: number
  readonly server: string
  /** The channel of notifications. */
  readonly channel: string
}

/**
 * Rows are locked in one order, so that batches of two servers never wait for each other. The lottery must still have the
 * values with which it was opened: an empty one can be begun anew with others.
 */
const countUp = `WITH held AS MATERIALIZED (
    SELECT agency, server FROM agency WHERE lottery = $1::bigint AND agency = ANY ($2::bigint[])
      AND EXISTS (SELECT FROM lottery WHERE id = $1::bigint AND checksum = $5::bigint)
    ORDER BY agency FOR NO KEY UPDATE
  ), claimed AS (
    UPDATE agency a SET epoch = a.epoch + 1, server = $3 FROM held
    WHERE a.lottery = $1::bigint AND a.agency = held.agency
    RETURNING a.agency, a.epoch, a.finished, held.server AS before
  )
  SELECT agency, epoch, finished, CASE WHEN before <> $3
    THEN pg_notify($4, 'claimed ' || agency || ' ' || epoch || ' ' || $3)::text END AS told
  FROM claimed`

const readLast = `SELECT c.agency, l.seq, l.total FROM unnest($2::bigint[]) c (agency)
  LEFT JOIN LATERAL (
    SELECT seq, total FROM chunk WHERE lottery = $1::bigint AND agency = c.agency
    ORDER BY seq DESC LIMIT 1
  ) l ON true`

/** The most claims of one batch. */
const batchMax = 1024

interface Asked {
  readonly agency: AgencyId
  /** Done when there is a result, or when its fiber is to claim the next batch. */
  readonly woken: Deferred.Deferred<void>
  result: Exit.Exit<Claim, LedgerUnavailable> | undefined
}

export class Claims {
  readonly #options: ClaimsOptions
  /** The next batches, in the order in which they were asked for. */
  #asked: Array<Asked> = []
  #underWay = false

  constructor(options: ClaimsOptions) {
    this.#options = options
  }

  /**
   * The fiber of the first that is asked for claims for all that have come meanwhile. Only its wait can be interrupted: who
   * is woken to claim a batch does so.
   */
  claim(agency: AgencyId): Effect.Effect<Claim, LedgerUnavailable> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        const asked: Asked = { agency, woken: Deferred.makeUnsafe(), result: undefined }
        this.#asked.push(asked)
        if (!this.#underWay) {
          this.#underWay = true
          return this.#lead(asked)
        }
        return restore(Deferred.await(asked.woken)).pipe(
          Effect.onInterrupt(() => Effect.sync(() => this.#leave(asked))),
          Effect.andThen(Effect.suspend(() => asked.result ?? this.#lead(asked)))
        )
      })
    )
  }

  #lead(asked: Asked): Effect.Effect<Claim, LedgerUnavailable> {
    return Effect.suspend(() => this.#batch(this.#take())).pipe(
      Effect.ensuring(Effect.sync(() => this.#handOver())),
      Effect.andThen(
        Effect.suspend(() => asked.result ?? Effect.die(new Error("no claim was made")))
      )
    )
  }

  #handOver(): void {
    const [next] = this.#asked
    if (next === undefined) this.#underWay = false
    else Deferred.doneUnsafe(next.woken, Effect.void)
  }

  /** Nobody waits for it any more. */
  #leave(asked: Asked): void {
    const wasToLead = asked.result === undefined && Deferred.isDoneUnsafe(asked.woken)
    this.#asked = this.#asked.filter((one) => one !== asked)
    if (wasToLead) this.#handOver()
  }

  /** One claim of each agency: of two that are asked for, the later one must end the earlier one. */
  #take(): ReadonlyMap<AgencyId, Asked> {
    const batch = new Map<AgencyId, Asked>()
    this.#asked = this.#asked.filter((asked) => {
      if (batch.size >= batchMax || batch.has(asked.agency)) return true
      batch.set(asked.agency, asked)
      return false
    })
    return batch
  }

  #batch(batch: ReadonlyMap<AgencyId, Asked>): Effect.Effect<void> {
    const { channel, checksum, links, lottery, server } = this.#options
    const agencies = [...batch.keys()].map(BigInt)
    const id = BigInt(lottery)
    return links.use("claim", (connection) =>
      Effect.all([
        connection.query(countUp, [id, agencies, server, channel, BigInt(checksum)]),
        connection.query(readLast, [id, agencies])
      ], { concurrency: 2 })).pipe(
        Effect.flatMap(([claimed, last]) => {
          // The roster's agencies are there as long as its lottery is.
          if (claimed.rows.length === batch.size) {
            return Effect.succeed(claimsOf(claimed.rows, last.rows))
          }
          return unavailable("claim", replacedProblem)
        }),
        Effect.exit,
        Effect.map((exit) => {
          for (const asked of batch.values()) {
            asked.result = Exit.isSuccess(exit)
              ? claimIn(exit.value, asked.agency)
              : Exit.failCause(exit.cause)
            Deferred.doneUnsafe(asked.woken, Effect.void)
          }
        })
      )
  }
}

const claimsOf = (
  claimed: ReadonlyArray<Row>,
  last: ReadonlyArray<Row>
): ReadonlyMap<number, Claim> => {
  const ends = new Map(last.map((row) => [integer(row, "agency"), row]))
  return new Map(claimed.map((row) => {
    const agency = integer(row, "agency")
    const end = ends.get(agency)
    const isEmpty = isNull(end, "seq")
    return [agency, {
      epoch: Epoch.make(integer(row, "epoch")),
      finished: flag(row, "finished"),
      seq: isEmpty ? 0 : integer(end, "seq"),
      bets: isEmpty ? 0 : integer(end, "total")
    }]
  }))
}

const claimIn = (claims: ReadonlyMap<number, Claim>, agency: AgencyId): Exit.Exit<Claim> => {
  const claim = claims.get(agency)
  return claim === undefined
    ? Exit.die(new InvariantBroken("an agency of the roster is claimed"))
    : Exit.succeed(claim)
}
