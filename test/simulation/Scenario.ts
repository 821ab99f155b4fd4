/**
 * The scenario of a seed: the lottery, the settings of the server (small, so that every bound is reached), the agencies,
 * and the frequency of each fault. About half of the seeds omit each kind of fault, so that one does not hide what
 * another breaks.
 */
import { Effect, Option } from "effect"
import { type AgencyId, parseRoster } from "../../src/domain/Agency.ts"
import { WinningNumber } from "../../src/domain/Draw.ts"
import { decodeSettings, type SettingsShape } from "../../src/services/base/Settings.ts"
import { type AgencyFile, randomFile } from "./AgencyFile.ts"
import type { Random } from "./Random.ts"
import type { AgencyStyle } from "./SimulatedAgency.ts"
import type { NetworkFaults } from "./SimulatedNetwork.ts"

/** When something goes wrong, and how often. */
export interface Trouble {
  readonly from: number
  readonly to: number
  readonly rate: number
}

export interface Blow {
  readonly at: number
  /** Upon the server with this index. */
  readonly server: number
  readonly kind: "crash" | "shutdown"
}

/** A server is stopped (SIGSTOP), and continues. */
interface Stop {
  readonly at: number
  readonly server: number
  readonly duration: number
}

/** Several servers, or one, over a ledger that can be shared. */
export interface Cluster {
  readonly servers: number
  readonly groupsMax: number
  readonly pollMs: number
  /** How often an answer of the ledger is lost. */
  readonly doubts: number
  /** How often it is that to an agency's last chunk, even when all else is quiet. */
  readonly lastAnswersLost: number
  /** How often news come not at all, and how often late. */
  readonly newsLost: number
  readonly newsLate: number
  /** How often who connects again does it elsewhere. */
  readonly roaming: number
  /** When an agency, by its place in the roster, goes to another server without need. */
  readonly moves: ReadonlyArray<{ readonly at: number; readonly agency: number }>
  readonly stops: ReadonlyArray<Stop>
}

/** `mended` is an agency from the field that gets a client that counts, and sometimes its old one back. */
type AgencyKind = "field" | "counting" | "mended"

export interface AgencyPlan {
  readonly file: AgencyFile
  readonly kind: AgencyKind
  readonly style: AgencyStyle
}

export interface Scenario {
  readonly settings: SettingsShape
  readonly winningNumber: WinningNumber
  readonly roster: readonly [AgencyId, ...Array<AgencyId>]
  readonly agencies: ReadonlyArray<AgencyPlan>
  /** From here on nothing goes wrong any more. */
  readonly quietAt: number
  readonly network: NetworkFaults
  /** Undefined: one server with a ledger of its own. */
  readonly cluster: Cluster | undefined
  /** What a commit takes when nothing is wrong. */
  readonly commitMax: number
  readonly ledgerFailing: ReadonlyArray<Trouble>
  readonly ledgerSlow: ReadonlyArray<Trouble>
  readonly parserFailing: ReadonlyArray<Trouble>
  readonly parserSlow: ReadonlyArray<Trouble>
  readonly blows: ReadonlyArray<Blow>
  /** How often a write of the ledger is what a crash comes upon. */
  readonly crashesOnWrite: number
  /** What happens to the first attempts to hold the draw, even when all else is quiet. */
  readonly drawFaults: ReadonlyArray<"failure" | "crash">
  readonly strangers: ReadonlyArray<number>
}

const drawTroubles = (random: Random, quietAt: number): ReadonlyArray<Trouble> =>
  random.chance(0.5) ? [] : Array.from({ length: random.integer(1, 3) }, () => {
    const from = random.integer(0, quietAt)
    return {
      from,
      to: Math.min(quietAt, from + random.skewed(100, 6000)),
      rate: random.pick([0.1, 0.3, 0.7, 1])
    }
  })

const drawBlows = (random: Random, quietAt: number, servers: number): ReadonlyArray<Blow> => {
  const crashes = random.chance(0.5) ? random.integer(1, 3 + servers) : 0
  const shutdowns = random.chance(0.4) ? random.integer(1, 2 + servers) : 0
  return Array.from({ length: crashes + shutdowns }, (_, index) => ({
    at: random.integer(0, quietAt),
    server: random.integer(0, servers - 1),
    kind: index < crashes ? "crash" : "shutdown"
  }))
}

const drawCluster = (
  random: Random,
  quietAt: number,
  agencies: number
): Cluster | undefined => {
  if (random.chance(0.4)) return undefined
  const servers = random.pick([1, 2, 2, 3, 3])
  const some = (most: number) => random.chance(0.7) ? random.integer(1, most) : 0
  return {
    servers,
    groupsMax: random.integer(1, 3),
    pollMs: random.integer(300, 2500),
    doubts: random.chance(0.6) ? random.pick([0.02, 0.1, 0.3]) : 0,
    lastAnswersLost: random.chance(0.4) ? 0.5 : 0,
    newsLost: random.pick([0, 0.3, 1]),
    newsLate: random.pick([0, 0.3, 1]),
    roaming: random.pick([0.3, 0.7]),
    moves: Array.from({ length: some(8 * agencies) }, () => ({
      at: random.integer(0, quietAt),
      agency: random.integer(0, agencies - 1)
    })),
    stops: Array.from({ length: some(2 * servers) }, () => {
      const at = random.integer(0, quietAt)
      const server = random.integer(0, servers - 1)
      return { at, server, duration: Math.min(quietAt - at, random.integer(50, 8000)) }
    })
  }
}

const drawSettings = (random: Random, agencies: number, winningNumber: number) => {
  const frameBytesMax = 2048
  return Effect.runSync(decodeSettings("the scenario", {
    lottery: { agencies, winningNumber, exitWhenServed: random.chance(0.2) },
    ledger: {
      groupChunksMax: random.integer(1, 8),
      groupBytesMax: random.pick([1024, 4096, 1_000_000]),
      gatherMs: random.pick([0, 5, 50]),
      retryFirstMs: random.integer(5, 100),
      retryMaxMs: random.integer(400, 2000)
    },
    connections: {
      max: random.chance(0.3) ? Math.max(5, 2 * agencies + random.integer(0, 2)) : 64,
      frameBytesMax,
      frameBudgetBytes: frameBytesMax * random.pick([1, 1, 1, 3]),
      roomWaitMs: random.pick([150, 500, 5000]),
      frameDeadlineMs: 1000 * random.integer(2, 4),
      answerDeadlineMs: 1000 * random.integer(2, 4),
      closeLingerMs: random.pick([500, 1000])
    },
    workers: random.integer(1, 4),
    consults: { retryAfterMs: random.integer(100, 1000) },
    shutdown: { graceMs: random.integer(2000, 8000) }
  }, {}))
}

const isNonEmpty = <A>(all: ReadonlyArray<A>): all is readonly [A, ...Array<A>] => all.length > 0

export const drawScenario = (random: Random): Scenario => {
  const winningNumber = WinningNumber.make(random.integer(0, 9999))
  const count = random.integer(1, 7)
  const settings = drawSettings(random, count, winningNumber)
  const roster = Option.getOrElse(parseRoster(String(count), count), () => [])
  if (!isNonEmpty(roster)) throw new Error("a lottery without agencies")
  const quietAt = random.integer(4000, 14_000)
  // Where all are fast the draw and the consults come while things go wrong.
  const pace = random.pick([0.01, 0.1, 0.5, 1.2])
  const agencies = roster.map((agency) => {
    const kind = random.pick<AgencyKind>(["field", "field", "counting", "counting", "mended"])
    const counts = kind === "counting"
    const length = random.chance(0.1) ? random.integer(0, 2) : random.integer(5, 160)
    const chunkMax = random.integer(1, 20)
    // Most sell for as long as things go wrong; a pause is a fifth of the longest on average.
    const chunks = 1 + 2 * length / (1 + chunkMax)
    const pauseMax = Math.ceil(5 * quietAt * pace * (0.2 + random.next()) / chunks)
    const style = {
      chunkMax,
      pauseMax,
      waits: !counts || random.chance(0.5),
      consultsEarly: !counts || random.chance(0.3),
      numbers: random.chance(0.8)
    }
    return { file: randomFile(random, agency, length, winningNumber, counts), kind, style }
  })
  const cluster = drawCluster(random, quietAt, count)
  const rate = (often: number) => random.chance(0.5) ? often * random.next() : 0
  return {
    settings,
    winningNumber,
    roster,
    agencies,
    quietAt,
    network: {
      cuts: rate(0.4),
      stalls: rate(0.3),
      deafness: rate(0.4),
      stubbornness: rate(0.5),
      latencyMax: random.pick([2, 20, 200, 500])
    },
    cluster,
    commitMax: random.pick([10, 50, 500]),
    ledgerFailing: drawTroubles(random, quietAt),
    ledgerSlow: drawTroubles(random, quietAt),
    parserFailing: drawTroubles(random, quietAt),
    parserSlow: drawTroubles(random, quietAt),
    blows: drawBlows(random, quietAt, cluster?.servers ?? 1),
    crashesOnWrite: rate(0.1),
    drawFaults: Array.from(
      { length: random.chance(0.5) ? random.integer(1, 3) : 0 },
      () => random.pick(["failure", "crash"])
    ),
    strangers: random.chance(0.5)
      ? Array.from({ length: random.integer(1, 16) }, () => random.integer(0, quietAt))
      : []
  }
}
