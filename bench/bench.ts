/**
 * `npm run bench`: how fast the central is, compared with the least that any server must do (the floor) and with
 * databases and queues. Prints tables, and writes the figures and two charts to bench/results.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { central } from "./Central.ts"
import { drawCharts } from "./Charts.ts"
import { compare, type Comparison, median } from "./Comparison.ts"
import { describeConditions, isInMemory, loadAverage, readConditions } from "./Conditions.ts"
import type { Candidates, Contender } from "./Contender.ts"
import { type DrawResult, measureDraw } from "./Draw.ts"
import { cFloor, nodeFloor } from "./Floors.ts"
import { type GrowthResult, measureGrowth } from "./Growth.ts"
import { type IdleResult, measureIdle } from "./Idle.ts"
import { compileC, LoadGenerator } from "./LoadGenerator.ts"
import { type Bench, measure, type Measurement, type Shape } from "./Measure.ts"
import { nats } from "./Nats.ts"
import { type Options, type Part, parts, readOptions, usage } from "./Options.ts"
import { postgres } from "./Postgres.ts"
import { type AloneResult, measureAlone } from "./PostgresLedger.ts"
import { redis } from "./Redis.ts"
import {
  formatAlone,
  formatComparison,
  formatDraw,
  formatGrowth,
  formatIdle,
  formatScaling,
  formatServers,
  formatSnapshot
} from "./Report.ts"
import { resultsFolder, writeResults } from "./Results.ts"
import { measureServers, type ServersResult } from "./Servers.ts"
import { measureSnapshot, type SnapshotResult } from "./Snapshot.ts"

/** The connections of all parts but `chunks`, and the chunk of all parts with one size of chunk. */
const usualConnections = 50
const usualChunk = 100

/** Many systems keep /tmp in memory, where a sync costs nothing: figures from there would be worthless. */
const workFolder = (options: Options): string => {
  const parent = options.folder ?? [tmpdir(), "/var/tmp"].find((folder) => !isInMemory(folder))
    ?? join(import.meta.dirname, "../data")
  mkdirSync(parent, { recursive: true })
  if (isInMemory(parent)) console.log(`!! ${parent} is in memory: nothing is durable there`)
  const folder = mkdtempSync(join(parent, "loteria-bench-"))
  chmodSync(folder, 0o711)
  return folder
}

const progress = (run: Measurement, pair: number): void => {
  const figures = `${Math.round(run.betsPerSecond).toLocaleString("en")} bets/s, p99 ${
    run.p99.toFixed(2)
  } ms`
  console.log(`    ${pair + 1}. ${run.contender}: ${figures} (load ${run.loadAverage.toFixed(2)})`)
}

class Session {
  readonly options: Options
  readonly bench: Bench
  readonly remarks: Array<string> = []
  readonly comparisons: Array<Comparison> = []
  readonly draws: Array<DrawResult> = []
  growth: GrowthResult | undefined
  idle: IdleResult | undefined
  alone: AloneResult | undefined
  servers: ServersResult | undefined
  snapshot: SnapshotResult | undefined

  constructor(options: Options, bench: Bench) {
    this.options = options
    this.bench = bench
  }

  async runPart(part: Part): Promise<void> {
    console.log(`\n${part} (load average ${loadAverage().toFixed(2)})`)
    const { drawBets, idleConnections, ledgerBets } = this.options
    switch (part) {
      case "chunks":
        return this.#chunks()
      case "latency":
        return this.#latency()
      case "node":
        return this.#beside(part, { contenders: [nodeFloor], remarks: [] })
      case "postgres":
        return this.#beside(part, await postgres(this.bench.folder))
      case "redis":
        return this.#beside(part, await redis())
      case "nats":
        return this.#beside(part, await nats(this.bench.folder))
      case "ledger":
        return this.#alone()
      case "servers":
        return this.#servers()
      case "snapshot":
        return this.#snapshot()
      case "draw":
        for (const bets of drawBets) {
          this.draws.push(
            await measureDraw(this.bench, bets, (run) => {
              console.log(`    ${run.bets} bets: ${run.ms.toFixed(1)} ms`)
            })
          )
        }
        console.log(formatDraw(this.draws))
        return
      case "growth":
        this.growth = await measureGrowth(this.bench, ledgerBets, (run) => {
          console.log(
            `    CPU s/M bets: ${run.cpuSmall.toFixed(2)} small, ${run.cpuLarge.toFixed(2)} large; `
              + `start ${run.startLargeMs.toFixed(0)} ms`
          )
        })
        console.log(formatGrowth(this.growth))
        return
      case "idle":
        this.idle = await measureIdle(this.bench, idleConnections, ledgerBets)
        console.log(formatIdle(this.idle))
    }
  }

  async #compare(part: Part, contenders: ReadonlyArray<Contender>, shape: Shape): Promise<void> {
    const comparison = await compare(this.bench, part, contenders, shape, progress)
    this.comparisons.push(comparison)
    console.log(formatComparison(comparison))
  }

  async #alone(): Promise<void> {
    const result = await measureAlone(this.bench, ({ connections, contender }, run) => {
      const figures = `${Math.round(run.chunksPerSecond).toLocaleString("en")} chunks/s`
      console.log(
        `    ${contender}, ${connections} connections: ${figures} (load ${
          run.loadAverage.toFixed(2)
        })`
      )
    })
    if (typeof result === "string") return this.#remark([result])
    this.alone = result
    console.log(formatAlone(result))
  }

  async #servers(): Promise<void> {
    const result = await measureServers(this.bench, ({ name }, run) => {
      const figures = `${Math.round(run.betsPerSecond).toLocaleString("en")} bets/s`
      console.log(`    ${name}: ${figures} (load ${run.loadAverage.toFixed(2)})`)
    })
    if (typeof result === "string") return this.#remark([result])
    this.servers = result
    console.log(formatServers(result))
  }

  async #snapshot(): Promise<void> {
    const result = await measureSnapshot(this.bench, (contender, run) => {
      const figures = `${Math.round(run.betsPerSecond).toLocaleString("en")} bets/s`
      console.log(`    ${contender}: ${figures} (load ${run.loadAverage.toFixed(2)})`)
    })
    if (typeof result === "string") return this.#remark([result])
    this.snapshot = result
    console.log(formatSnapshot(result))
  }

  #remark(remarks: ReadonlyArray<string>): void {
    this.remarks.push(...remarks)
    for (const remark of remarks) console.log(`  ${remark}`)
  }

  async #floor(): Promise<Contender> {
    const program = await compileC("floor", join(this.bench.folder, "programs"))
    return program === undefined ? nodeFloor : cFloor(program)
  }

  async #chunks(): Promise<void> {
    const floor = await this.#floor()
    if (floor === nodeFloor) this.#remark(["no C compiler: the floor is the one in Node"])
    const contenders = [central, floor]
    for (const connections of this.options.connections) {
      for (const bets of this.options.chunks) {
        await this.#compare("chunks", contenders, { bets, connections })
      }
    }
    for (const line of formatScaling(this.comparisons)) console.log(line)
  }

  async #beside(part: Part, { contenders, remarks }: Candidates): Promise<void> {
    this.#remark(remarks)
    if (contenders.length === 0) return
    for (const bets of this.options.rivalChunks) {
      await this.#compare(part, [central, ...contenders], { bets, connections: usualConnections })
    }
  }

  /** Both at the same rate: half of the central's highest. */
  async #latency(): Promise<void> {
    const floor = await this.#floor()
    const shape = { bets: usualChunk, connections: usualConnections }
    const rate = this.options.rate ?? await this.#highestRate(shape) / 2
    await this.#compare("latency", [central, floor], { ...shape, rate })
  }

  async #highestRate(shape: Shape): Promise<number> {
    const rates: Array<number> = []
    for (let at = 0; at < Math.min(3, this.bench.pairs); at++) {
      const run = await measure(this.bench, central, shape)
      progress(run, at)
      rates.push(run.betsPerSecond / shape.bets)
    }
    const highest = median(rates)
    console.log(`    highest rate of the central: ${highest.toFixed(0)} chunks/s`)
    return highest
  }
}

const run = async (options: Options): Promise<boolean> => {
  const folder = workFolder(options)
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }))
  const generator = await LoadGenerator.create(join(folder, "programs"))
  const conditions = await readConditions(folder, generator.inC)
  console.log(describeConditions(conditions))
  const { pairs, quick, seconds, splitWrites, warmupSeconds } = options
  console.log(
    `${pairs} pairs of ${seconds} s, each after ${warmupSeconds} s of warm-up, in ${folder}`
  )
  const session = new Session(options, {
    folder,
    generator,
    pairs,
    seconds,
    splitWrites,
    warmupSeconds
  })
  const failed: Array<Part> = []
  for (const part of options.parts) {
    try {
      await session.runPart(part)
    } catch (error) {
      // The results of the other parts are still useful.
      failed.push(part)
      console.error(`  !! ${part}:`, error)
    }
  }
  const { alone, comparisons, draws, growth, idle, remarks, servers, snapshot } = session
  const all = options.parts.length === parts.length
  const what = `${quick ? "quick" : ""}${quick && !all ? "-" : ""}${
    all ? (quick ? "" : "all") : options.parts.join("-")
  }`
  const path = writeResults({
    conditions,
    command: `npm run bench -- ${process.argv.slice(2).join(" ")}`.trim(),
    quick,
    pairs,
    seconds,
    warmupSeconds,
    remarks,
    comparisons,
    draws,
    growth,
    idle,
    alone,
    servers,
    snapshot
  }, what)
  console.log(`\n${path}`)
  if (!quick) drawCharts(resultsFolder)
  const wrong = comparisons.flatMap(({ contests }) => contests).flatMap(({ runs }) => runs)
    .filter(({ problems }) => problems.length > 0)
  return failed.length === 0 && wrong.length === 0
}

const options = readOptions(process.argv.slice(2))
if (options === "help") console.log(usage)
else if (options.chartsOnly) console.log(drawCharts(resultsFolder).join("\n"))
else process.exitCode = await run(options) ? 0 : 1
