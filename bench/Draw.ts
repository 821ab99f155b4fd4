/**
 * The draw: a roster of five sells a number of bets, all finish, and all wait for their winners. Measured
 * from the moment the last agency sends its last chunk until the last agency has its winners.
 */
import { Central } from "./Central.ts"
import { median } from "./Comparison.ts"
import { type Bench, inFolder, repeated } from "./Measure.ts"
import { lottery, requestFiles } from "./Requests.ts"
import { MemoryWatch } from "./Usage.ts"

const agencies = 5
const chunk = 100
/** Chunks that each agency has in flight: with one each, five agencies would take too long to fill a ledger. */
const window = 8
const lookMs = 1000

export interface DrawRun {
  readonly bets: number
  readonly ms: number
  readonly winnersBytes: number
  readonly peakPssBytes: number
}

export interface DrawResult {
  readonly bets: number
  readonly medianMs: number
  readonly runs: ReadonlyArray<DrawRun>
}

const drawOnce = (bench: Bench, bets: number): Promise<DrawRun> =>
  inFolder(bench.folder, async (folder) => {
    const central = await Central.start(folder, agencies)
    const files = await requestFiles(bench.folder, lottery, chunk)
    const consults = await bench.generator.consults(central.consultPort, agencies)
    await consults.ask()
    using memory = new MemoryWatch(central.pid, lookMs)
    const perConnection = Math.ceil(bets / agencies / chunk)
    const load = await bench.generator.load({
      port: central.betsPort,
      files,
      connections: agencies,
      window,
      perConnection,
      finish: true
    })
    const { bytes, failed, informed, lastAt } = await consults.informed()
    memory.look()
    await central.stop()
    if (failed > 0 || informed !== agencies || load.refused > 0 || load.unanswered > 0) {
      throw new Error(
        `${informed} of ${agencies} agencies informed, ${load.refused} chunks refused`
      )
    }
    central.checkStored(load.acknowledged)
    return {
      bets: load.acknowledged,
      ms: (lastAt - load.lastFinishSentAt) * 1000,
      winnersBytes: bytes,
      peakPssBytes: memory.peak
    }
  })

export const measureDraw = async (
  bench: Bench,
  bets: number,
  progress: (run: DrawRun) => void
): Promise<DrawResult> => {
  const runs = await repeated(bench, () => drawOnce(bench, bets), progress)
  return { bets, medianMs: median(runs.map(({ ms }) => ms)), runs }
}
