/** Decides when the ledger and the parser are slow or fail, and at which of their operations a crash or a stop comes. */
import type { Judge } from "./Judge.ts"
import type { Random } from "./Random.ts"
import type { Blow, Cluster, Scenario, Trouble } from "./Scenario.ts"
import type { SharedWorld } from "./SharedLedger.ts"
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
  blow: (kind: Blow["kind"], life: number) => void
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
    later: (operation, run, life) => {
      if (hurts(operation)) {
        timeline.count(`blow upon: ${operation}`)
        const mildly = random.chance(0.3)
        timeline.after(
          random.integer(0, 20),
          () => blow(mildly ? "shutdown" : "crash", life)
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
    onStored: (chunk, by) => {
      const { agency, bets, last, seq } = chunk
      timeline.trace(
        `on disk: agency ${agency}, chunk ${seq}, ${bets} bets${
          last ? ", last" : ""
        }, by life ${by}`
      )
      judge.onStored(chunk, by)
    },
    onFenced: (agency) => {
      timeline.trace(`fenced: a chunk of agency ${agency}`)
      timeline.count("fenced")
    },
    onClaimed: (agency, epoch, by) => {
      timeline.trace(`claim ${epoch} of agency ${agency}, by life ${by}`)
      judge.onClaimed(agency, epoch, by)
    },
    onDrawn: (draw) => {
      timeline.trace("on disk: the draw")
      judge.onDrawn(draw)
    },
    onDrawAsked: (by) => judge.onDrawAsked(by),
    onToldNoted: (agency, told) => judge.onToldNoted(agency, told),
    onDrawKnown: (by) => judge.onDrawKnown(by),
    onMisuse: (problem) => timeline.fail(problem)
  }
}

/** What a shared ledger can suffer besides. */
export const sharedWorld = (
  world: TroubledWorld,
  { doubts, lastAnswersLost, newsLate, newsLost }: Cluster,
  blow: (kind: Blow["kind"], life: number) => void
): SharedWorld => {
  const { random, scenario: { commitMax, quietAt }, timeline } = world
  const inLedger = ledgerWorld(world, blow)
  const isQuiet = () => timeline.now >= quietAt
  return {
    ...inLedger,
    send: ({ arrive, finishes, giveUp, operation }) => {
      const travels = random.skewed(0, isQuiet() ? 5 : commitMax / 5)
      if (finishes && random.chance(lastAnswersLost)) {
        timeline.count("answer lost: last chunk")
        timeline.after(random.integer(500, 2500), giveUp)
        return void timeline.after(travels, () => arrive(false))
      }
      if (isQuiet() || !random.chance(doubts)) {
        return void timeline.after(travels, () => arrive(true))
      }
      const fate = random.pick(["arrives", "arrives late", "never arrives"])
      timeline.count(`answer lost: ${operation}, ${fate}`)
      timeline.after(random.integer(0, 2500), giveUp)
      if (fate === "arrives") timeline.after(travels, () => arrive(false))
      else if (fate === "arrives late") {
        timeline.after(random.skewed(20, 6000), () => arrive(false))
      }
    },
    bring: (hear) => {
      if (random.chance(newsLost)) return timeline.count("news lost")
      const late = random.chance(newsLate)
      if (late) timeline.count("news late")
      timeline.after(late ? random.integer(20, 5000) : random.integer(0, 5), hear)
    },
    onWaiting: (operation) => timeline.count(`waits for rows: ${operation}`),
    onDoubt: (outcome) => {
      timeline.trace(`in doubt: ${outcome}`)
      timeline.count(`in doubt: ${outcome}`)
    }
  }
}

export const parserWorld = (
  { random, scenario, timeline }: TroubledWorld,
  deliver: (run: () => void) => void
): ParserWorld => {
  const { parserFailing, parserSlow } = scenario
  return {
    later: (run) => {
      const slow = random.chance(during(parserSlow, timeline.now))
      if (slow) timeline.count("parser slow")
      timeline.after(
        slow ? random.integer(50, 4000) : random.skewed(0, 10),
        () => deliver(run)
      )
    },
    fails: () => {
      const fails = random.chance(during(parserFailing, timeline.now))
      if (fails) timeline.count("parser failed")
      return fails
    },
    onMisuse: (problem) => timeline.fail(problem)
  }
}
