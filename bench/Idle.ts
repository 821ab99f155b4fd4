/**
 * Thousands of agencies that wait: all of them hold a consult connection open and have asked, while some sell at full
 * speed; then the last of them finishes, and all ask for the winners at once.
 */
import { waitUntil } from "../test/support/WaitUntil.ts"
import { Central } from "./Central.ts"
import { type Bench, inFolder } from "./Measure.ts"
import { lottery, requestFiles } from "./Requests.ts"
import { MemoryWatch, openDescriptors } from "./Usage.ts"

const sellers = 50
const chunk = 100
/** Agencies that have nothing to sell finish in groups, to stay below the server's connection limit. */
const finishersAtOnce = 1000
/** How often memory is measured under load. */
const lookMs = 500

export interface IdleResult {
  readonly connections: number
  readonly bets: number
  readonly pssStartBytes: number
  /** All connected and waiting, nothing sold. */
  readonly pssIdleBytes: number
  /** The highest in the first and in the last tenth of the load. */
  readonly pssFirstTenthBytes: number
  readonly pssLastTenthBytes: number
  readonly pssPeakBytes: number
  readonly betsPerSecond: number
  readonly p99: number
  /** From the last agency's last chunk until the first, and the last, agency has its winners. */
  readonly firstInformedMs: number
  readonly lastInformedMs: number
}

export const measureIdle = (bench: Bench, connections: number, bets: number): Promise<IdleResult> =>
  inFolder(bench.folder, async (folder) => {
    const files = await requestFiles(bench.folder, lottery, chunk)
    const central = await Central.start(folder, connections)
    using memory = new MemoryWatch(central.pid, lookMs)
    const pssStartBytes = memory.look()
    const descriptors = openDescriptors(central.pid)
    const consults = await bench.generator.consults(central.consultPort, connections)
    await waitUntil(
      `${connections} connections accepted`,
      () => openDescriptors(central.pid) >= descriptors + connections,
      60_000
    )
    await consults.ask()
    for (let first = sellers + 1; first <= connections; first += finishersAtOnce) {
      await bench.generator.load({
        port: central.betsPort,
        files,
        connections: Math.min(finishersAtOnce, connections - first + 1),
        firstAgency: first,
        perConnection: 0,
        finish: true
      })
    }
    const pssIdleBytes = memory.look()
    let pssFirstTenthBytes = 0
    let pssPeakBytes = 0
    const newPeak = () => {
      pssPeakBytes = Math.max(pssPeakBytes, memory.peak)
      memory.peak = 0
      memory.look()
    }
    newPeak()
    const load = await bench.generator.load({
      port: central.betsPort,
      files,
      connections: Math.min(sellers, connections),
      perConnection: Math.ceil(bets / sellers / chunk),
      finish: true,
      marks: [bets * 0.1, bets * 0.9]
    }, (event, reached) => {
      if (event !== "mark") return
      memory.look()
      if (reached < bets / 2) pssFirstTenthBytes = memory.peak
      newPeak()
    })
    const { failed, firstAt, informed, lastAt } = await consults.informed()
    const pssLastTenthBytes = memory.peak
    newPeak()
    await central.stop()
    if (failed > 0 || informed !== connections) {
      throw new Error(`${informed} of ${connections} agencies were informed`)
    }
    central.checkStored(load.acknowledged)
    return {
      connections,
      bets: load.acknowledged,
      pssStartBytes,
      pssIdleBytes,
      pssFirstTenthBytes,
      pssLastTenthBytes,
      pssPeakBytes: Math.max(pssPeakBytes, memory.peak),
      betsPerSecond: load.acknowledged / load.seconds,
      p99: load.p99,
      firstInformedMs: (firstAt - load.lastFinishSentAt) * 1000,
      lastInformedMs: (lastAt - load.lastFinishSentAt) * 1000
    }
  })
