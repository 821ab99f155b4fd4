/**
 * What a large ledger costs: CPU per bet, and the time to start. The same load is measured twice by a server that has
 * just been started, once on a small ledger and once on a large one, so that both are equally cold; and once more by
 * the server that has filled the large one, which is warm. Starts are measured after a stop and after a kill under load.
 */
import { setTimeout } from "node:timers/promises"
import { Central } from "./Central.ts"
import { median } from "./Comparison.ts"
import { type Bench, inFolder, repeated } from "./Measure.ts"
import { lottery, requestFiles } from "./Requests.ts"
import { cpuSeconds, pssBytes } from "./Usage.ts"

const agencies = 50
const chunk = 100
/** The size of the small ledger, and of the measured load, as parts of the large ledger. */
const smallPart = 0.01
const windowPart = 0.2
/** A connection repeats its requests. Each load begins at another one, or its first bet would be a repetition. */
const requestStep = 11
const killAfterMs = 500

export interface GrowthRun {
  readonly smallBets: number
  readonly largeBets: number
  /** CPU seconds per million bets. */
  readonly cpuSmall: number
  readonly cpuLarge: number
  readonly cpuWarm: number
  readonly pssSmallBytes: number
  readonly pssLargeBytes: number
  readonly startEmptyMs: number
  readonly startLargeMs: number
  readonly startKilledMs: number
}

export interface GrowthResult {
  readonly runs: ReadonlyArray<GrowthRun>
  readonly median: GrowthRun
  /** CPU per bet with the large ledger divided by that with the small one; the median of the runs' ratios. */
  readonly cpuRatio: number
}

const growOnce = (bench: Bench, ledgerBets: number): Promise<GrowthRun> =>
  inFolder(bench.folder, async (folder) => {
    const files = await requestFiles(bench.folder, lottery, chunk)
    let loads = 0
    let acknowledged = 0
    const load = (central: Central, bets: number) =>
      bench.generator.load({
        port: central.betsPort,
        files,
        connections: agencies,
        firstRequest: loads++ * requestStep,
        perConnection: Math.max(1, Math.round(bets / agencies / chunk))
      })
    const fill = async (central: Central, bets: number): Promise<number> => {
      const before = cpuSeconds(central.pid)
      const result = await load(central, bets)
      if (result.refused + result.cut + result.unanswered > 0) {
        throw new Error(`${result.refused} chunks refused: ${result.firstRefusal}`)
      }
      acknowledged += result.acknowledged
      return (cpuSeconds(central.pid) - before) / (result.acknowledged / 1e6)
    }
    const windowBets = ledgerBets * windowPart

    const first = await Central.start(folder, agencies)
    await fill(first, ledgerBets * smallPart)
    await first.stop()
    const smallBets = acknowledged

    const second = await Central.start(folder, agencies)
    const cpuSmall = await fill(second, windowBets)
    const pssSmallBytes = pssBytes(second.pid)
    await fill(second, ledgerBets - acknowledged - windowBets)
    const cpuWarm = await fill(second, windowBets)
    await second.stop()
    const largeBets = acknowledged

    const third = await Central.start(folder, agencies)
    const cpuLarge = await fill(third, windowBets)
    const pssLargeBytes = pssBytes(third.pid)
    third.checkStored(acknowledged)
    // Killed in the middle of a load: everything that it acknowledged must be there after the next start.
    const interrupted = load(third, ledgerBets)
    await setTimeout(killAfterMs)
    await third.kill()
    acknowledged += (await interrupted).acknowledged

    const fourth = await Central.start(folder, agencies)
    await fourth.stop()
    fourth.checkStored(acknowledged, true)
    return {
      smallBets,
      largeBets,
      cpuSmall,
      cpuLarge,
      cpuWarm,
      pssSmallBytes,
      pssLargeBytes,
      startEmptyMs: first.startMs,
      startLargeMs: third.startMs,
      startKilledMs: fourth.startMs
    }
  })

export const measureGrowth = async (
  bench: Bench,
  ledgerBets: number,
  progress: (run: GrowthRun) => void
): Promise<GrowthResult> => {
  const runs = await repeated(bench, () => growOnce(bench, ledgerBets), progress)
  const of = (figure: (run: GrowthRun) => number) => median(runs.map(figure))
  return {
    runs,
    median: {
      smallBets: of((run) => run.smallBets),
      largeBets: of((run) => run.largeBets),
      cpuSmall: of((run) => run.cpuSmall),
      cpuLarge: of((run) => run.cpuLarge),
      cpuWarm: of((run) => run.cpuWarm),
      pssSmallBytes: of((run) => run.pssSmallBytes),
      pssLargeBytes: of((run) => run.pssLargeBytes),
      startEmptyMs: of((run) => run.startEmptyMs),
      startLargeMs: of((run) => run.startLargeMs),
      startKilledMs: of((run) => run.startKilledMs)
    },
    cpuRatio: of((run) => run.cpuLarge / run.cpuSmall)
  }
}
