/**
 * The ledger in PostgreSQL alone, without servers around it, beside pgbench on the same PostgreSQL: how much of what that
 * can take in is left when chunks are fenced and sent by a program in Node. They take turns; what counts is the median of
 * the rounds' ratios.
 */
import { Effect } from "effect"
import { setTimeout } from "node:timers/promises"
import { AgencyId } from "../src/domain/Agency.ts"
import type { Claim } from "../src/domain/Claim.ts"
import type { BetLedger, LedgerChunk } from "../src/services/ledger/BetLedger.ts"
import type { BenchChunk } from "./BenchChunk.ts"
import { median } from "./Comparison.ts"
import { loadAverage } from "./Conditions.ts"
import type { Bench } from "./Measure.ts"
import { groupChunks } from "./Pgbench.ts"
import { PostgresTrial } from "./PostgresTrial.ts"

const database = "ledger"
const contenders = [
  { contender: "pgbench", connections: 2 },
  { contender: "the ledger", connections: 2 },
  { contender: "the ledger", connections: 4 }
] as const
type AloneContender = (typeof contenders)[number]

export interface AloneRun {
  readonly chunksPerSecond: number
  /** Microseconds a chunk, of the program that sends. */
  readonly clientCpu: number
  /** Of all processes of PostgreSQL. */
  readonly serverCpu: number
  readonly loadAverage: number
}

export interface AloneResult {
  readonly version: string
  readonly bodyBytes: number
  readonly contests: ReadonlyArray<{
    readonly contender: string
    /** Groups under way at once. */
    readonly connections: number
    readonly runs: ReadonlyArray<AloneRun>
    readonly median: AloneRun
    /** Of pgbench's chunks a second; the median of the rounds. */
    readonly ratio: number
  }>
}

const ids = (count: number): ReadonlyArray<AgencyId> =>
  Array.from({ length: count }, (_, index) => AgencyId.make(index + 1))

type Claimed = ReadonlyArray<readonly [AgencyId, Claim]>

/** Stores group after group until it is time; `measured` are the chunks of groups begun after `from`. */
const storeGroups = Effect.fnUntraced(function*(
  ledger: BetLedger["Service"],
  claims: Claimed,
  chunk: BenchChunk,
  from: number,
  until: number
) {
  let [all, measured] = [0, 0]
  for (let step = 1; performance.now() < until; step++) {
    const begin = performance.now()
    const group = claims.map(([agency, claim]) => chunkAfter(agency, claim, step, chunk))
    const { fenced } = yield* ledger.commit(group)
    if (fenced.size > 0) throw new Error("nobody else claims these agencies")
    all += group.length
    if (begin >= from) measured += group.length
  }
  return { all, measured }
})

const chunkAfter = (
  agency: AgencyId,
  { bets, epoch, seq }: Claim,
  step: number,
  chunk: BenchChunk
): LedgerChunk => ({
  ...chunk,
  agency,
  epoch,
  seq: seq + step,
  last: false,
  total: bets + step * chunk.bets
})

const ownCpuSeconds = (): number => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1e6
}

/** Gives the figures, and how many chunks were acknowledged. */
const runLedger = async (
  { seconds, warmupSeconds }: Bench,
  trial: PostgresTrial,
  connections: number
) => {
  const cpuAt = (at: number) =>
    Effect.promise(async () => {
      await setTimeout(at - performance.now())
      return { client: ownCpuSeconds(), server: trial.cpuSeconds }
    })
  const options = { agencies: connectionsMax * groupChunks, groupsMax: connections }
  const [counts, begin, end] = await trial.withLedger(
    database,
    options,
    (ledger) =>
      Effect.gen(function*() {
        const claims = yield* Effect.forEach(
          ids(connections * groupChunks),
          (agency) => Effect.map(ledger.claim(agency), (claim) => [agency, claim] as const),
          { concurrency: "unbounded" }
        )
        const from = performance.now() + warmupSeconds * 1000
        const until = from + seconds * 1000
        const groups = Array.from(
          { length: connections },
          (_, index) => claims.slice(index * groupChunks, (index + 1) * groupChunks)
        )
        const stored = Effect.forEach(
          groups,
          (group) => storeGroups(ledger, group, trial.chunk, from, until),
          { concurrency: "unbounded" }
        )
        return yield* Effect.all([stored, cpuAt(from), cpuAt(until)], { concurrency: "unbounded" })
      })
  )
  const sum = (figure: "all" | "measured") =>
    counts.reduce((total, count) => total + count[figure], 0)
  return {
    acknowledged: sum("all"),
    chunksPerSecond: sum("measured") / seconds,
    clientCpu: (end.client - begin.client) / sum("measured") * 1e6,
    serverCpu: (end.server - begin.server) / sum("measured") * 1e6
  }
}

const connectionsMax = Math.max(...contenders.map(({ connections }) => connections))

/** Gives the reason when it can't be measured here. */
export const measureAlone = async (
  bench: Bench,
  progress: (contender: AloneContender, run: AloneRun) => void
): Promise<AloneResult | string> => {
  const created = await PostgresTrial.create(bench.folder)
  if (typeof created === "string") return created
  await using trial = created
  await trial.newDatabase(database)
  const runs = contenders.map((): Array<AloneRun> => [])
  let acknowledged = 0
  for (let pair = 0; pair < bench.pairs; pair++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      const at = (pair + turn) % contenders.length
      const one = contenders[at]
      if (one === undefined) continue
      await trial.settle()
      const before = loadAverage()
      const isLedger = one.contender === "the ledger"
      const figures = isLedger
        ? await runLedger(bench, trial, one.connections)
        : { ...await trial.pgbench(one.connections, bench.seconds), acknowledged: 0 }
      acknowledged += figures.acknowledged
      const { chunksPerSecond, clientCpu, serverCpu } = figures
      const run = { chunksPerSecond, clientCpu, serverCpu, loadAverage: before }
      runs[at]?.push(run)
      progress(one, run)
    }
  }
  const stored = Number(await trial.ask("SELECT count(*) FROM chunk", database))
  if (stored !== acknowledged) {
    throw new Error(`LOST: ${acknowledged} chunks acknowledged, ${stored} stored`)
  }
  return { version: trial.version, bodyBytes: trial.chunk.body.length, contests: contestsOf(runs) }
}

const contestsOf = (runs: ReadonlyArray<ReadonlyArray<AloneRun>>): AloneResult["contests"] =>
  contenders.map(({ connections, contender }, at) => {
    const own = runs[at] ?? []
    const of = (figure: keyof AloneRun) => median(own.map((run) => run[figure]))
    const ratios = own.map((run, pair) =>
      run.chunksPerSecond / (runs[0]?.[pair]?.chunksPerSecond ?? Number.NaN)
    )
    return {
      contender,
      connections,
      runs: own,
      median: {
        chunksPerSecond: of("chunksPerSecond"),
        clientCpu: of("clientCpu"),
        serverCpu: of("serverCpu"),
        loadAverage: of("loadAverage")
      },
      ratio: median(ratios)
    }
  })
