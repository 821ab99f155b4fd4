/** A commit lane under test: its lottery in a database of its own, and the claims and reads that it leaves to others. */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import { Effect, Layer, Redacted, Result, type Scope } from "effect"
import { AgencyId } from "../../src/domain/Agency.ts"
import { type Claim, Epoch } from "../../src/domain/Claim.ts"
import { DrawName, WinningNumber } from "../../src/domain/Draw.ts"
import { Keeper } from "../../src/services/base/Keeper.ts"
import { parsePostgresUrl } from "../../src/services/base/PostgresUrl.ts"
import type { LedgerChunk } from "../../src/services/ledger/BetLedger.ts"
import {
  type CommitLane,
  type CommitLaneOptions,
  openCommitLane
} from "../../src/services/ledger/postgres/CommitLane.ts"
import type { LinkOptions } from "../../src/services/ledger/postgres/Links.ts"
import { openPostgresLedger } from "../../src/services/ledger/postgres/PostgresLedger.ts"
import { strictKeeper } from "./Kept.ts"
import { plainChunk } from "./LedgerChunks.ts"
import type { Postgres, Row } from "./Postgres.ts"

const laneName = "lane under test"
/** The server whose lane it is. */
export const laneServer = "here"

/** `count` different bets under a claim, behind `before` others. */
export const claimedChunk = (
  agency: AgencyId,
  { before = 0, count = 2, epoch = 1, last = false, seq = 1 }
): LedgerChunk => ({
  ...plainChunk(agency, seq, count, last),
  epoch: Epoch.make(epoch),
  total: before + count
})

export const linkTo = (url: string): LinkOptions => ({
  url: Result.getOrThrow(parsePostgresUrl(url)),
  applicationName: laneName,
  connectMs: 5000
})

export class LaneTrial {
  readonly postgres: Postgres
  readonly url: string

  private constructor(postgres: Postgres, url: string) {
    this.postgres = postgres
    this.url = url
  }

  /** A new lottery of these agencies. */
  static readonly begin = Effect.fnUntraced(function*(postgres: Postgres, agencies: number) {
    const url = yield* Effect.promise(() => postgres.createDatabase())
    yield* Effect.scoped(openPostgresLedger({
      url: Result.getOrThrow(parsePostgresUrl(url)),
      roster: Array.from({ length: agencies }, (_, index) => AgencyId.make(index + 1)),
      winningNumber: WinningNumber.make(257),
      draw: DrawName.make("may"),
      server: "the first"
    })).pipe(Effect.provideService(Keeper, strictKeeper))
    return new LaneTrial(postgres, url)
  })

  /** `at` is another server's URL, or a proxy's. */
  open(
    options: Partial<CommitLaneOptions> = {},
    at = this.url,
    keeper = strictKeeper
  ): Effect.Effect<CommitLane, never, Scope.Scope> {
    return Effect.provide(
      openCommitLane({
        link: linkTo(at),
        lottery: 1,
        server: laneServer,
        groupsMax: 2,
        answerMs: 20_000,
        reopen: { firstMs: 10, maxMs: 100 },
        ...options
      }),
      Layer.succeed(Keeper, keeper)
    )
  }

  query(
    statement: string,
    parameters: ReadonlyArray<unknown> = []
  ): Effect.Effect<ReadonlyArray<Row>> {
    return Effect.promise(() => this.postgres.query(statement, parameters, this.url))
  }

  /** Claims the agency for a lane, or for a server that isn't here. */
  readonly claim = Effect.fnUntraced(
    { self: this },
    function*(agency: AgencyId, lane?: CommitLane): Effect.fn.Return<Claim> {
      const [row] = yield* this.query(
        `UPDATE agency SET epoch = epoch + 1, server = $2 WHERE agency = $1
         RETURNING epoch::int, finished`,
        [BigInt(agency), lane === undefined ? "elsewhere" : laneServer]
      )
      const [last] = yield* this.query(
        "SELECT seq::int, total::int FROM chunk WHERE agency = $1 ORDER BY seq DESC LIMIT 1",
        [BigInt(agency)]
      )
      const claim = {
        epoch: Epoch.make(Number(row?.["epoch"])),
        seq: Number(last?.["seq"] ?? 0),
        bets: Number(last?.["total"] ?? 0),
        finished: row?.["finished"] === true
      }
      lane?.give(agency, claim)
      return claim
    }
  )

  /** Begins a transaction that has locked the agency's row. It is rolled back at the latest when the scope ends. */
  lockRow(agency: AgencyId): Effect.Effect<PgConnection.PgConnection, never, Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      const connection = yield* PgConnection.make({ url: Redacted.make(this.url) })
      yield* connection.query("BEGIN")
      yield* connection.query("SELECT FROM agency WHERE agency = $1 FOR NO KEY UPDATE", [
        BigInt(agency)
      ])
      return connection
    }).pipe(Effect.orDie)
  }

  /** The lane's sessions that wait: for a lock, or for a standby. */
  waiting(what: "Lock" | "SyncRep"): Effect.Effect<ReadonlyArray<number>> {
    return Effect.map(
      this.query(
        `SELECT pid FROM pg_stat_activity
         WHERE application_name = $1 AND $2 IN (wait_event_type, wait_event)`,
        [laneName, what]
      ),
      (rows) => rows.map(({ pid }) => Number(pid))
    )
  }

  /** `agency/seq` of every stored chunk. */
  get stored(): Effect.Effect<ReadonlyArray<string>> {
    return Effect.map(
      this.query("SELECT agency || '/' || seq AS chunk FROM chunk ORDER BY agency, seq"),
      (rows) => rows.map((row) => String(row["chunk"]))
    )
  }
}
