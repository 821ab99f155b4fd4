/**
 * The intake of one server over PostgreSQL while another session holds a snapshot, as a dump or a long export does, beside
 * its intake alone. A snapshot keeps every old version of a row: were a row changed by each store, finding it would
 * cost more and more. How long it is held matters, so each run begins with an empty database.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, ManagedRuntime, Redacted } from "effect"
import { median } from "./Comparison.ts"
import { loadAverage } from "./Conditions.ts"
import type { Bench } from "./Measure.ts"
import { PostgresTrial } from "./PostgresTrial.ts"
import { runServers, type ServersRun } from "./Servers.ts"

type Figures = Pick<ServersRun, "betsPerSecond" | "postgresCpu">

export interface SnapshotResult {
  readonly version: string
  /** How long each snapshot was held, at least. */
  readonly seconds: number
  readonly runs: Readonly<Record<Contender, ReadonlyArray<ServersRun>>>
  /** Medians. */
  readonly alone: Figures
  readonly beside: Figures
  /** Of the bets a second beside a snapshot to those alone; the median of the pairs. */
  readonly ratio: number
}

const contenders = ["alone", "beside"] as const
type Contender = (typeof contenders)[number]

/** In a session of its own, until it is disposed of; then it must still have been there. */
const holdSnapshot = async (url: string): Promise<AsyncDisposable> => {
  const runtime = ManagedRuntime.make(
    PgClient.layer({ url: Redacted.make(url), maxConnections: 1 })
  )
  const ask = (statement: string) =>
    runtime.runPromise(
      Effect.flatMap(PgClient.PgClient, (sql) => sql.unsafe<{ readonly id: string }>(statement))
    )
  const transaction = async () => (await ask("SELECT pg_current_snapshot()::text AS id"))[0]?.id
  await ask("BEGIN ISOLATION LEVEL REPEATABLE READ")
  const held = await transaction()
  return {
    [Symbol.asyncDispose]: async () => {
      const still = await transaction()
      await runtime.dispose()
      if (held === undefined || still !== held) throw new Error("the snapshot was not held")
    }
  }
}

/** Gives the reason when it can't be measured here. */
export const measureSnapshot = async (
  bench: Bench,
  progress: (contender: Contender, run: ServersRun) => void
): Promise<SnapshotResult | string> => {
  const created = await PostgresTrial.create(bench.folder)
  if (typeof created === "string") return created
  await using trial = created
  const runs: Record<Contender, Array<ServersRun>> = { alone: [], beside: [] }
  for (let pair = 0; pair < bench.pairs; pair++) {
    for (const contender of pair % 2 === 0 ? contenders : contenders.toReversed()) {
      await trial.settle()
      const before = loadAverage()
      const beside = contender === "beside" ? holdSnapshot : undefined
      const figures = await runServers(bench, trial, { servers: 1, shared: true }, beside)
      const run = { ...figures, loadAverage: before }
      runs[contender].push(run)
      progress(contender, run)
    }
  }
  return {
    version: trial.version,
    seconds: bench.warmupSeconds + bench.seconds,
    runs,
    alone: medians(runs.alone),
    beside: medians(runs.beside),
    ratio: median(
      runs.beside.map((run, pair) =>
        run.betsPerSecond / (runs.alone[pair]?.betsPerSecond ?? Number.NaN)
      )
    )
  }
}

const medians = (runs: ReadonlyArray<ServersRun>): Figures => ({
  betsPerSecond: median(runs.map((run) => run.betsPerSecond)),
  postgresCpu: median(runs.map((run) => run.postgresCpu))
})
