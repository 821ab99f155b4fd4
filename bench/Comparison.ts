/**
 * Comparisons in pairs: the central and its contenders take turns, in an order that changes with every round, so
 * that other work on the machine affects all of them alike. The result is the median of the rounds' ratios, not the
 * ratio of the medians.
 */
import type { Contender } from "./Contender.ts"
import { type Bench, measure, type Measurement, type Shape } from "./Measure.ts"

interface Contest {
  readonly contender: string
  readonly runs: ReadonlyArray<Measurement>
  readonly median: Omit<Measurement, "contender" | "problems">
  /** The central's figure divided by this contender's, for each round. */
  readonly ratios: {
    readonly betsPerSecond: number
    readonly cpuPerMillionBets: number
    readonly p99: number
  }
}

export interface Comparison extends Shape {
  readonly part: string
  readonly contests: ReadonlyArray<Contest>
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const half = Math.floor(sorted.length / 2)
  const upper = sorted[half] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2
}

const medianOf = (runs: ReadonlyArray<Measurement>): Contest["median"] => {
  const of = (figure: (run: Measurement) => number) => median(runs.map(figure))
  return {
    betsPerSecond: of((run) => run.betsPerSecond),
    p50: of((run) => run.p50),
    p99: of((run) => run.p99),
    p999: of((run) => run.p999),
    max: of((run) => run.max),
    cpuPerMillionBets: of((run) => run.cpuPerMillionBets),
    peakPssBytes: of((run) => run.peakPssBytes),
    diskBytesPerBet: of((run) => run.diskBytesPerBet),
    acknowledged: of((run) => run.acknowledged),
    stored: of((run) => run.stored),
    loadAverage: of((run) => run.loadAverage),
    generatorCpuSeconds: of((run) => run.generatorCpuSeconds)
  }
}

/** The others are compared with the first contender. */
export const compare = async (
  bench: Bench,
  part: string,
  contenders: ReadonlyArray<Contender>,
  shape: Shape,
  progress: (run: Measurement, pair: number) => void
): Promise<Comparison> => {
  const runs = contenders.map((): Array<Measurement> => [])
  for (let pair = 0; pair < bench.pairs; pair++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      const at = (pair + turn) % contenders.length
      const contender = contenders[at]
      if (contender === undefined) continue
      const run = await measure(bench, contender, shape)
      runs[at]?.push(run)
      progress(run, pair)
    }
  }
  const ours = runs[0] ?? []
  return {
    part,
    ...shape,
    contests: runs.map((theirs) => {
      const ratio = (figure: (run: Measurement) => number) =>
        median(theirs.map((run, pair) => figure(ours[pair] ?? run) / figure(run)))
      return {
        contender: theirs[0]?.contender ?? "",
        runs: theirs,
        median: medianOf(theirs),
        ratios: {
          betsPerSecond: ratio((run) => run.betsPerSecond),
          cpuPerMillionBets: ratio((run) => run.cpuPerMillionBets),
          p99: ratio((run) => run.p99)
        }
      }
    })
  }
}
