/**
 * Several servers over one PostgreSQL, end to end: the same agencies, spread over one, two and three servers, beside the
 * embedded ledger, and beside pgbench on the same PostgreSQL. All share this machine's cores, with the load generator too:
 * what more servers cost shows here, and not what they bring on machines of their own.
 */
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { Central } from "./Central.ts"
import { median } from "./Comparison.ts"
import { loadAverage } from "./Conditions.ts"
import { type Bench, inFolder } from "./Measure.ts"
import { PostgresTrial } from "./PostgresTrial.ts"
import { lottery, requestFiles } from "./Requests.ts"
import { cpuSeconds } from "./Usage.ts"

const betsInChunk = 100
/** Each is an agency; every number of servers divides it. */
const connections = 48
const database = "servers"

const contenders = [
  { name: "embedded ledger", servers: 1, shared: false },
  { name: "1 server", servers: 1, shared: true },
  { name: "2 servers", servers: 2, shared: true },
  { name: "3 servers", servers: 3, shared: true },
  { name: "pgbench, 2 connections", servers: 0, shared: true }
] as const
type ServersContender = (typeof contenders)[number]
/** What a run needs to know of its contender. */
export interface ServersShape {
  readonly servers: number
  /** Over PostgreSQL, and not embedded. */
  readonly shared: boolean
}

export interface ServersRun {
  readonly betsPerSecond: number
  /** CPU seconds per million bets, of the servers, or of pgbench. */
  readonly serversCpu: number
  /** Of all processes of PostgreSQL. */
  readonly postgresCpu: number
  /** Milliseconds, of the slowest server's chunks. */
  readonly p99: number
  readonly loadAverage: number
}

export interface ServersResult {
  readonly version: string
  readonly contests: ReadonlyArray<{
    readonly contender: string
    readonly runs: ReadonlyArray<ServersRun>
    readonly median: ServersRun
    /** Of the embedded ledger's bets a second; the median of the rounds. */
    readonly ofEmbedded: number
    readonly ofPgbench: number
  }>
}

type Figures = Omit<ServersRun, "loadAverage">

const startServers = (
  folder: string,
  { servers, shared }: ServersShape,
  trial: PostgresTrial
): Promise<ReadonlyArray<Central>> =>
  Promise.all(Array.from({ length: servers }, (_, at) => {
    const own = join(folder, String(at))
    mkdirSync(own)
    return Central.start(own, connections, shared ? trial.url(database) : undefined)
  }))

/** `beside` begins once the servers are ready, and is disposed of when the load has ended. */
export const runServers = (
  bench: Bench,
  trial: PostgresTrial,
  contender: ServersShape,
  beside?: (url: string) => Promise<AsyncDisposable>
): Promise<Figures> =>
  inFolder(bench.folder, async (folder) => {
    if (contender.shared) await trial.newDatabase(database)
    const files = await requestFiles(bench.folder, lottery, betsInChunk)
    const centrals = await startServers(folder, contender, trial)
    await using _ = await beside?.(trial.url(database))
    const cpu = () => ({
      servers: centrals.reduce((sum, { pid }) => sum + cpuSeconds(pid), 0),
      postgres: trial.cpuSeconds
    })
    let [begin, end] = [cpu(), cpu()]
    const each = connections / centrals.length
    const loads = await Promise.all(centrals.map(({ betsPort }, at) =>
      bench.generator.load({
        port: betsPort,
        files,
        connections: each,
        firstAgency: 1 + at * each,
        warmup: bench.warmupSeconds,
        seconds: bench.seconds
      }, (event) => {
        if (at > 0) return
        if (event === "begin") begin = cpu()
        if (event === "end") end = cpu()
      })
    ))
    for (const { cut, firstRefusal, refused, unanswered } of loads) {
      if (refused + cut + unanswered > 0) {
        throw new Error(`${refused} refused, ${cut} cut, ${unanswered} unanswered: ${firstRefusal}`)
      }
    }
    await Promise.all(centrals.map((central) => central.stop()))
    const acknowledged = loads.reduce((sum, load) => sum + load.acknowledged, 0)
    await checkStored(contender, trial, centrals, acknowledged)
    const measured = loads.reduce((sum, load) => sum + load.measured, 0)
    return {
      betsPerSecond: loads.reduce((sum, load) => sum + load.measured / load.seconds, 0),
      serversCpu: (end.servers - begin.servers) / measured * 1e6,
      postgresCpu: contender.shared ? (end.postgres - begin.postgres) / measured * 1e6 : 0,
      p99: Math.max(...loads.map(({ p99 }) => p99))
    }
  })

const checkStored = async (
  { shared }: ServersShape,
  trial: PostgresTrial,
  centrals: ReadonlyArray<Central>,
  acknowledged: number
): Promise<void> => {
  if (!shared) {
    for (const central of centrals) central.checkStored(acknowledged)
    return
  }
  const stored = Number(await trial.ask("SELECT coalesce(sum(bets), 0) FROM chunk", database))
  if (stored !== acknowledged) {
    throw new Error(`LOST: ${acknowledged} bets acknowledged, ${stored} stored`)
  }
}

const runPgbench = async ({ seconds }: Bench, trial: PostgresTrial): Promise<Figures> => {
  const { chunksPerSecond, clientCpu, serverCpu } = await trial.pgbench(2, seconds)
  // Microseconds a chunk are seconds per million chunks.
  return {
    betsPerSecond: chunksPerSecond * betsInChunk,
    serversCpu: clientCpu / betsInChunk,
    postgresCpu: serverCpu / betsInChunk,
    p99: Number.NaN
  }
}

/** Gives the reason when it can't be measured here. */
export const measureServers = async (
  bench: Bench,
  progress: (contender: ServersContender, run: ServersRun) => void
): Promise<ServersResult | string> => {
  const created = await PostgresTrial.create(bench.folder)
  if (typeof created === "string") return created
  await using trial = created
  const runs = contenders.map((): Array<ServersRun> => [])
  for (let pair = 0; pair < bench.pairs; pair++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      const at = (pair + turn) % contenders.length
      const contender = contenders[at]
      if (contender === undefined) continue
      await trial.settle()
      const before = loadAverage()
      const figures = contender.servers === 0
        ? await runPgbench(bench, trial)
        : await runServers(bench, trial, contender)
      const run = { ...figures, loadAverage: before }
      runs[at]?.push(run)
      progress(contender, run)
    }
  }
  return { version: trial.version, contests: contestsOf(runs) }
}

const contestsOf = (
  runs: ReadonlyArray<ReadonlyArray<ServersRun>>
): ServersResult["contests"] =>
  contenders.map(({ name }, at) => {
    const own = runs[at] ?? []
    const of = (figure: keyof ServersRun) => median(own.map((run) => run[figure]))
    const ratioTo = (others: ReadonlyArray<ServersRun> = []) =>
      median(
        own.map((run, pair) => run.betsPerSecond / (others[pair]?.betsPerSecond ?? Number.NaN))
      )
    return {
      contender: name,
      runs: own,
      median: {
        betsPerSecond: of("betsPerSecond"),
        serversCpu: of("serversCpu"),
        postgresCpu: of("postgresCpu"),
        p99: of("p99"),
        loadAverage: of("loadAverage")
      },
      ofEmbedded: ratioTo(runs[0]),
      ofPgbench: ratioTo(runs.at(-1))
    }
  })
