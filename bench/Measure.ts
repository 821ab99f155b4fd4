/** One run: starts a system, puts it under load, stops it, and counts what it has stored. */
import { mkdtempSync, rmSync } from "node:fs"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { loadAverage } from "./Conditions.ts"
import type { Contender, Stored } from "./Contender.ts"
import type { LoadGenerator, LoadResult } from "./LoadGenerator.ts"
import { requestFiles } from "./Requests.ts"
import { cpuSeconds, MemoryWatch } from "./Usage.ts"

export interface Bench {
  readonly folder: string
  readonly generator: LoadGenerator
  readonly warmupSeconds: number
  readonly seconds: number
  readonly pairs: number
  /** See {@link LoadOptions.splitWrites}; of what speaks the lottery's protocol. */
  readonly splitWrites?: boolean
}

export interface Shape {
  /** Bets in a chunk. */
  readonly bets: number
  readonly connections: number
  /** Chunks a second, in an open loop. */
  readonly rate?: number
}

export interface Measurement {
  readonly contender: string
  readonly betsPerSecond: number
  /** Milliseconds from a chunk's sending (open loop: from when it was due) to its answer. */
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
  /** Of all processes of the system. */
  readonly cpuPerMillionBets: number
  readonly peakPssBytes: number
  readonly diskBytesPerBet: number
  readonly acknowledged: number
  readonly stored: number
  /** Reasons not to trust the run; empty when there are none. */
  readonly problems: ReadonlyArray<string>
  /** Of the machine, before the run. */
  readonly loadAverage: number
  readonly generatorCpuSeconds: number
}

/** How often memory is measured. */
const lookMs = 5000
/** Pause between two runs, in which the disk and the kernel finish the work of the first. */
export const settleMs = 500

const problemsOf = (load: LoadResult, stored: Stored): ReadonlyArray<string> => {
  const expected = stored.unit === "bets" ? load.acknowledged : load.acknowledgedBytes
  // Chunks without an answer may be stored; chunks that were acknowledged must be, and nothing else may.
  const inDoubt = load.unanswered + load.cut + load.refused > 0
  const checks: ReadonlyArray<readonly [boolean, string]> = [
    [
      stored.count < expected,
      `LOST: ${expected} ${stored.unit} acknowledged, ${stored.count} stored`
    ],
    [
      stored.count > expected && !inDoubt,
      `${expected} ${stored.unit} acknowledged, but ${stored.count} stored`
    ],
    [load.refused > 0, `${load.refused} requests refused, the first: ${load.firstRefusal}`],
    [load.cut > 0, `${load.cut} connections were cut`],
    [load.unanswered > 0, `${load.unanswered} requests were not answered in time`],
    [load.measured === 0, "nothing was acknowledged while it was measured"]
  ]
  return checks.filter(([wrong]) => wrong).map(([, problem]) => problem)
}

/** Repeats a measurement without contenders as often as there are pairs. */
export const repeated = async <Run>(
  bench: Bench,
  once: () => Promise<Run>,
  progress: (run: Run) => void
): Promise<ReadonlyArray<Run>> => {
  const runs: Array<Run> = []
  for (let at = 0; at < bench.pairs; at++) {
    const run = await once()
    runs.push(run)
    progress(run)
  }
  return runs
}

/** Runs in a temporary folder. */
export const inFolder = async <A>(
  parent: string,
  use: (folder: string) => Promise<A>
): Promise<A> => {
  const folder = mkdtempSync(join(parent, "run-"))
  try {
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export const measure = (bench: Bench, contender: Contender, shape: Shape): Promise<Measurement> =>
  inFolder(bench.folder, async (folder) => {
    const files = await requestFiles(bench.folder, contender.encoding, shape.bets)
    await setTimeout(settleMs)
    const loadBefore = loadAverage()
    const place = { folder, connections: shape.connections, bets: shape.bets }
    const running = await contender.start(place)
    // Reading the memory stops each process for some milliseconds: an open loop, which measures latency, does it only
    // at both ends.
    using memory = new MemoryWatch(running.pid, shape.rate === undefined ? lookMs : undefined)
    let cpuBegin = 0
    let cpuEnd = 0
    const load = await bench.generator.load({
      port: running.port,
      files,
      connections: shape.connections,
      warmup: bench.warmupSeconds,
      seconds: bench.seconds,
      splitWrites: bench.splitWrites === true && contender.encoding.protocol === "lottery",
      ...(shape.rate === undefined ? {} : { rate: shape.rate })
    }, (event) => {
      if (event === "start") memory.look()
      if (event === "begin") cpuBegin = cpuSeconds(running.pid)
      if (event === "end") {
        cpuEnd = cpuSeconds(running.pid)
        memory.look()
      }
    })
    const stored = await running.finish()
    return {
      contender: contender.name,
      betsPerSecond: load.measured / load.seconds,
      p50: load.p50,
      p99: load.p99,
      p999: load.p999,
      max: load.max,
      cpuPerMillionBets: (cpuEnd - cpuBegin) / (load.measured / 1e6),
      peakPssBytes: memory.peak,
      diskBytesPerBet: stored.diskBytes / load.acknowledged,
      acknowledged: load.acknowledged,
      stored: stored.count,
      problems: problemsOf(load, stored),
      loadAverage: loadBefore,
      generatorCpuSeconds: load.cpu
    }
  })
