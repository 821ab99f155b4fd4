/**
 * One seed from start to end: agencies sell to the central while faults happen; then the faults stop, and every agency
 * must sell its whole file and learn its winners. The same seed gives the same trace, event by event.
 */
import { encodeFrame } from "../../src/domain/Frame.ts"
import type { LogLevel } from "../../src/services/base/LogLevel.ts"
import type { Details } from "../../src/services/base/OperatorLog.ts"
import type { Door } from "../../src/services/intake/Connection.ts"
import { agencyOf } from "./Agencies.ts"
import { Judge } from "./Judge.ts"
import { Life } from "./Life.ts"
import { Random } from "./Random.ts"
import { type Blow, drawScenario, type Scenario } from "./Scenario.ts"
import type { AgencyWorld, SimulatedAgency } from "./SimulatedAgency.ts"
import { type LedgerLife, SimulatedLedger } from "./SimulatedLedger.ts"
import { calmNetwork, Link, type Peer } from "./SimulatedNetwork.ts"
import { openParser, type ParserLife } from "./SimulatedParser.ts"
import { sendStranger } from "./Stranger.ts"
import { Timeline } from "./Timeline.ts"
import { ledgerWorld, parserWorld, type TroubledWorld } from "./Troubles.ts"

export interface SimulationResult {
  readonly seed: number
  /** Of the whole trace: two runs of a seed have the same. */
  readonly hash: string
  readonly failures: ReadonlyArray<string>
  /** The last lines of the trace. */
  readonly tail: ReadonlyArray<string>
  readonly events: number
  readonly virtualMs: number
  /** How often what happened. */
  readonly counts: ReadonlyMap<string, number>
}

/** After the last fault everything must be done within this. */
const patienceMs = 90_000
/** Half-open connections and stalls that began before are over by then. */
const settlingMs = 25_000
/** What a shutdown may take beyond its grace: a commit that is under way is waited for. */
const shutdownSlackMs = 4000
/** Of the grace, what is kept for those that end after the connections. */
const graceKeptMs = 2000

export const simulate = (seed: number, onLine?: (line: string) => void): SimulationResult => {
  const timeline = new Timeline(onLine)
  const simulation = new Simulation(timeline, new Random(seed))
  try {
    simulation.run()
  } catch (error) {
    timeline.fail(error instanceof Error ? error.stack ?? error.message : String(error))
  }
  return {
    seed,
    hash: timeline.hash,
    failures: timeline.failures,
    tail: timeline.tail,
    events: timeline.steps,
    virtualMs: timeline.now,
    counts: timeline.counts
  }
}

class Simulation {
  readonly #timeline: Timeline
  readonly #random: Random
  readonly #scenario: Scenario
  readonly #judge: Judge
  readonly #ledger: SimulatedLedger
  readonly #links = new Map<string, Link>()
  readonly #reasons = new Set<string>()
  #agencies: ReadonlyArray<SimulatedAgency> = []
  #life: Life | undefined
  #ledgerLife: LedgerLife | undefined
  #parserLife: ParserLife | undefined
  #linkCount = 0
  /** From here on a shutdown no longer waits for connections. */
  #graceUsedUp = Number.POSITIVE_INFINITY
  #phase: "selling" | "settling" | "probing" | "closing" | "over" = "selling"

  constructor(timeline: Timeline, random: Random) {
    this.#timeline = timeline
    this.#random = random
    this.#scenario = drawScenario(random.split())
    const { agencies, winningNumber } = this.#scenario
    const files = new Map(agencies.map(({ file }) => [file.agency, file] as const))
    this.#judge = new Judge(timeline, files, winningNumber)
    this.#ledger = new SimulatedLedger(ledgerWorld(this.#troubled(), (kind) => this.#blow(kind)))
  }

  run(): void {
    const { agencies, blows, quietAt, strangers } = this.#scenario
    const timeline = this.#timeline
    this.#start()
    const world = this.#agencyWorld()
    this.#agencies = agencies.map((plan) => agencyOf(world, plan))
    for (const agency of this.#agencies) {
      timeline.after(this.#random.skewed(0, 2000), () => agency.begin())
    }
    for (const at of strangers) timeline.after(at, () => sendStranger(world, this.#scenario.roster))
    for (const { at, kind } of blows) {
      timeline.after(at, () => this.#blow(kind))
    }
    timeline.after(quietAt, () => this.#watchProgress(quietAt + patienceMs))
    while (this.#phase !== "over" && timeline.failures.length === 0) {
      const next = timeline.next
      if (next === undefined) return timeline.fail("nothing happens any more")
      timeline.now = next
      this.#life?.proceed()
      timeline.step()
      this.#life?.proceed()
    }
  }

  // ---- the server's lives

  #start(): void {
    const { roster, settings, winningNumber } = this.#scenario
    this.#timeline.trace("the server starts")
    this.#graceUsedUp = Number.POSITIVE_INFINITY
    this.#ledgerLife = this.#ledger.open({ roster, winningNumber })
    this.#judge.onOpened()
    this.#parserLife = openParser(parserWorld(this.#troubled()), settings.parsers.processes)
    this.#life = new Life({
      timeline: this.#timeline,
      settings,
      ledger: this.#ledgerLife,
      parser: this.#parserLife,
      onLog: (level, action, result, details) => this.#onLog(level, action, result, details),
      onKilled: () => this.#onKilled(),
      onDone: () => {
        this.#timeline.count("the server was done")
        this.#judge.onDone()
        this.#shutdown()
      }
    })
  }

  #blow(kind: Blow["kind"]): void {
    if (kind === "shutdown") this.#shutdown()
    else this.#life?.crashAfter(this.#random.skewed(0, 40))
  }

  #onKilled(): void {
    this.#timeline.trace("the server was killed")
    this.#timeline.count("crash")
    this.#ledgerLife?.crash(() => this.#random.chance(0.5))
    this.#end()
    this.#timeline.after(this.#random.integer(0, 1500), () => this.#start())
  }

  #shutdown(onClosed?: () => void): void {
    const life = this.#life
    if (life === undefined || !life.serving) return
    const { graceMs } = this.#scenario.settings.shutdown
    const deadline = this.#timeline.now + graceMs + shutdownSlackMs
    this.#graceUsedUp = this.#timeline.now + graceMs - graceKeptMs
    this.#timeline.trace("the server is told to end")
    this.#timeline.count("shutdown")
    for (const link of this.#links.values()) link.owed = link.received
    this.#timeline.after(graceMs + shutdownSlackMs, () => {
      if (this.#life === life && this.#timeline.now >= deadline) {
        this.#timeline.fail("the shutdown takes longer than its grace")
      }
    })
    life.shutdown(() => {
      this.#timeline.trace("the server ended")
      for (const link of this.#links.values()) this.#expectReason(link)
      this.#end()
      if (onClosed === undefined) {
        this.#timeline.after(this.#random.integer(0, 1500), () => this.#start())
      } else onClosed()
    })
  }

  /** The process is gone, and its sockets with it. */
  #end(): void {
    this.#life = undefined
    this.#parserLife?.crash()
    for (const link of this.#links.values()) link.serverVanished()
    this.#links.clear()
  }

  #onLog(
    level: LogLevel,
    action: string,
    result: string,
    details: Details | undefined
  ): void {
    this.#timeline.trace(`${level} ${action} ${result} ${JSON.stringify(details ?? {})}`)
    if (level === "CRITICAL") {
      this.#timeline.fail(`a defect: ${action} ${String(details?.["cause"])}`)
    }
    this.#judge.onLog(action, result)
    if (action !== "connection_closed") return
    const name = String(details?.["ip"])
    const reason = String(details?.["reason"])
    this.#timeline.count(`closed: ${reason}`)
    if (this.#reasons.has(name)) this.#timeline.fail(`${name} ended twice`)
    this.#reasons.add(name)
    const link = this.#links.get(name)
    this.#links.delete(name)
    if (reason === "connection_lost") this.#expectReason(link)
    if (reason === "shutdown" && link?.door === "bets" && link.answered < link.owed) {
      this.#timeline.fail(`${name}: ${link.answered} of ${link.owed} frames read were answered`)
    }
  }

  #expectReason(link: Link | undefined): void {
    if (!link?.dropped || this.#timeline.now >= this.#graceUsedUp) return
    this.#timeline.fail(`${link.name}: dropped without a reason`)
  }

  // ---- what the simulated parts are told

  #troubled(): TroubledWorld {
    return {
      timeline: this.#timeline,
      random: this.#random.split(),
      scenario: this.#scenario,
      judge: this.#judge
    }
  }

  #agencyWorld(): AgencyWorld {
    return {
      timeline: this.#timeline,
      random: this.#random,
      judge: this.#judge,
      connect: (door, peer) => this.#connect(door, peer),
      quiet: () => this.#timeline.now >= this.#scenario.quietAt
    }
  }

  #connect(door: Door, peer: Peer): Link {
    const name = `${door}-${++this.#linkCount}`
    const quiet = this.#timeline.now >= this.#scenario.quietAt
    const world = { timeline: this.#timeline, random: this.#random.split(), judge: this.#judge }
    const link = new Link(name, door, peer, world, quiet ? calmNetwork : this.#scenario.network)
    const life = this.#life
    if (life?.serving) {
      this.#links.set(name, link)
      link.connect((at, transport) => life.accept(at, transport))
    } else link.connect(undefined)
    return link
  }

  // ---- the end

  #watchProgress(deadline: number): void {
    const timeline = this.#timeline
    if (this.#agencies.every((agency) => agency.done())) {
      this.#phase = "settling"
      this.#judge.onEnd()
      timeline.after(settlingMs, () => this.#probe())
    } else if (timeline.now > deadline) this.#judge.onEnd()
    else timeline.after(100, () => this.#watchProgress(deadline))
  }

  /**
   * Nobody is connected: all that was reserved must have been given back. As many frames as there is room for are begun
   * and not ended, so that one more must wait; when they are gone, it is answered.
   */
  #probe(): void {
    const { frameBudgetBytes, frameBytesMax } = this.#scenario.settings.connections
    const timeline = this.#timeline
    this.#phase = "probing"
    this.#expectNobody()
    const frame = encodeFrame(new Uint8Array(frameBytesMax))
    const holders = Array.from(
      { length: frameBudgetBytes / frameBytesMax },
      () => this.#probeWith((link) => link.send(frame.subarray(0, frameBytesMax)))
    )
    timeline.after(300, () => {
      if (holders.some((link) => link.paused)) timeline.fail("the frame budget is not full again")
      const late = this.#probeWith((link) => link.ask({ _tag: "Nonsense" }, frame))
      timeline.after(200, () => {
        if (late.answered > 0) timeline.fail("a frame was read that there was no room for")
        for (const link of holders) link.abandon()
      })
      timeline.after(5000, () => {
        if (late.answered === 0) timeline.fail("who waited for room was forgotten")
      })
    })
    timeline.after(settlingMs, () => {
      this.#expectNobody()
      this.#phase = "closing"
      this.#shutdown(() => {
        this.#phase = "over"
      })
    })
  }

  #probeWith(act: (link: Link) => void): Link {
    const link: Link = this.#connect("bets", {
      onOpen: () => act(link),
      onAnswer: () => {},
      onClosed: () => {}
    })
    return link
  }

  #expectNobody(): void {
    const { connections = 0, serving = false, turnsWaiting = 0 } = this.#life ?? {}
    if (!serving) this.#timeline.fail("the server doesn't serve")
    if (connections > 0) this.#timeline.fail(`${connections} connections are left, and no agency`)
    if (turnsWaiting > 0) this.#timeline.fail(`${turnsWaiting} turns are left in the queue`)
  }
}
