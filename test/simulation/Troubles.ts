/** Decides when the ledger and the parser are slow or fail, and at which of their operations a crash or a stop comes. */
import type { Judge } from "./Judge.ts"
import type { Random } from "./Random.ts"
import type { Blow, Scenario, Trouble } from "./Scenario.ts"
import type { LedgerWorld } from "./SimulatedLedger.ts"
import type { ParserWorld } from "./SimulatedParser.ts"
import type { Timeline } from "./Timeline.ts"

export interface TroubledWorld {
  readonly timeline: Timeline
  readonly random: Random
  readonly scenario: Scenario
  readonly judge: Judge
}

/** How often something goes wrong at the moment. */
const during = (troubles: ReadonlyArray<Trouble>, now: number): number =>
  troubles.reduce(
    (rate, { from, rate: worst, to }) => now >= from && now < to ? Math.max(rate, worst) : rate,
    0
  )

export const ledgerWorld = (
  { judge, random, scenario, timeline }: TroubledWorld,
  blow: (kind: Blow["kind"]) => void
): LedgerWorld => {
  const { commitMax, crashesOnWrite, ledgerFailing, ledgerSlow, quietAt } = scenario
  const drawFaults = [...scenario.drawFaults]
  let drawFault: "failure" | "crash" | undefined
  const hurts = (operation: string) => {
    if (operation === "draw") drawFault = drawFaults.shift()
    return operation === "draw"
      ? drawFault === "crash"
      : operation !== "read" && timeline.now < quietAt && random.chance(crashesOnWrite)
  }
  return {
    later: (operation, run) => {
      if (hurts(operation)) {
        timeline.count(`blow upon: ${operation}`)
        const mildly = random.chance(0.3)
        timeline.after(
          random.integer(0, 20),
          () => blow(mildly ? "shutdown" : "crash")
        )
      }
      const slow = operation !== "news" && random.chance(during(ledgerSlow, timeline.now))
      if (slow) timeline.count("ledger slow")
      timeline.after(
        slow
          ? random.integer(50, 2500)
          : random.skewed(0, timeline.now < quietAt ? commitMax : 20),
        run
      )
    },
    fails: (operation) => {
      const fails = random.chance(during(ledgerFailing, timeline.now))
        || (operation === "draw" && drawFault === "failure")
      if (fails) timeline.count(`ledger failed: ${operation}`)
      return fails
    },
    onStored: (chunk) => {
      const { agency, bets, last, seq } = chunk
      timeline.trace(
        `on disk: agency ${agency}, chunk ${seq}, ${bets} bets${last ? ", last" : ""}`
      )
      judge.onStored(chunk)
    },
    onDrawn: (draw) => {
      timeline.trace("on disk: the draw")
      judge.onDrawn(draw)
    },
    onDrawAsked: () => judge.onDrawAsked(),
    onToldNoted: (agency, told) => judge.onToldNoted(agency, told),
    onDrawKnown: () => judge.onDrawKnown(),
    onMisuse: (problem) => timeline.fail(problem)
  }
}

export const parserWorld = ({ random, scenario, timeline }: TroubledWorld): ParserWorld => {
  const { parserFailing, parserSlow } = scenario
  return {
    later: (run) => {
      const slow = random.chance(during(parserSlow, timeline.now))
      if (slow) timeline.count("parser slow")
      timeline.after(slow ? random.integer(50, 4000) : random.skewed(0, 10), run)
    },
    fails: () => {
      const fails = random.chance(during(parserFailing, timeline.now))
      if (fails) timeline.count("parser failed")
      return fails
    },
    onMisuse: (problem) => timeline.fail(problem)
  }
}
