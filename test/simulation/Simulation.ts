/**
 * One seed from start to end: agencies sell to the central while faults happen; then the faults stop, and every agency
 * must sell its whole file and learn its winners. The same seed gives the same trace, event by event.
 */
import { encodeFrame } from "../../src/domain/Frame.ts"
import type { Door } from "../../src/services/intake/Connection.ts"
import { agencyOf } from "./Agencies.ts"
import { Judge } from "./Judge.ts"
import { Random } from "./Random.ts"
import { type Blow, drawScenario, type Scenario } from "./Scenario.ts"
import { SharedLedger } from "./SharedLedger.ts"
import type { AgencyWorld, SimulatedAgency } from "./SimulatedAgency.ts"
import { SimulatedLedger } from "./SimulatedLedger.ts"
import { calmNetwork, Link, type Peer } from "./SimulatedNetwork.ts"
import { SimulatedServer } from "./SimulatedServer.ts"
import { sendStranger } from "./Stranger.ts"
import { Timeline } from "./Timeline.ts"
import { ledgerWorld, sharedWorld } from "./Troubles.ts"

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
const settlingMs = 22_000
/** The probe and its connections are over by then. */
const probingMs = 14_000
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
  readonly #servers: Array<SimulatedServer> = []
  #agencies: ReadonlyArray<SimulatedAgency> = []
  #linkCount = 0
  #lifeCount = 0
  #phase: "selling" | "settling" | "probing" | "closing" | "over" = "selling"

  constructor(timeline: Timeline, random: Random) {
    this.#timeline = timeline
    this.#random = random
    this.#scenario = drawScenario(random.split())
    const { agencies, winningNumber } = this.#scenario
    const files = new Map(agencies.map(({ file }) => [file.agency, file] as const))
    this.#judge = new Judge(timeline, files, winningNumber)
  }

  run(): void {
    const { agencies, blows, cluster, quietAt, roster, strangers } = this.#scenario
    const timeline = this.#timeline
    this.#startServers()
    this.#agencies = agencies.map((plan) => agencyOf(this.#agencyWorld(), plan))
    for (const agency of this.#agencies) {
      timeline.after(this.#random.skewed(0, 2000), () => agency.begin())
    }
    const stranger = this.#agencyWorld()
    for (const at of strangers) timeline.after(at, () => sendStranger(stranger, roster))
    for (const { at, kind, server } of blows) {
      timeline.after(at, () => this.#servers[server]?.blow(kind))
    }
    for (const { at, agency } of cluster?.moves ?? []) {
      timeline.after(at, () => this.#agencies[agency]?.move())
    }
    for (const { at, duration, server } of cluster?.stops ?? []) {
      timeline.after(at, () => this.#servers[server]?.stop(duration))
    }
    timeline.after(quietAt, () => this.#watchProgress(quietAt + patienceMs))
    while (this.#phase !== "over" && timeline.failures.length === 0) {
      const next = timeline.next
      if (next === undefined) return timeline.fail("nothing happens any more")
      timeline.now = next
      timeline.step()
    }
  }

  // ---- what the simulated parts are told

  #startServers(): void {
    const { cluster } = this.#scenario
    const timeline = this.#timeline
    const troubled = {
      timeline,
      random: this.#random.split(),
      scenario: this.#scenario,
      judge: this.#judge
    }
    const blow = (kind: Blow["kind"], life: number) =>
      this.#servers.find((server) => server.life === life)?.blow(kind)
    const home = cluster === undefined
      ? new SimulatedLedger(ledgerWorld(troubled, blow))
      : new SharedLedger(sharedWorld(troubled, cluster, blow), cluster)
    timeline.count(
      cluster === undefined ? "seed: a ledger of its own" : `seed: ${cluster.servers} servers`
    )
    for (let index = 0; index < (cluster?.servers ?? 1); index++) {
      this.#servers.push(
        new SimulatedServer(cluster === undefined ? "the server" : `server ${index}`, {
          ...troubled,
          random: this.#random.split(),
          home,
          nextLife: () => ++this.#lifeCount,
          staysUp: () => this.#phase !== "selling"
        })
      )
    }
  }

  #agencyWorld(): AgencyWorld {
    const { cluster } = this.#scenario
    const pick = () => this.#servers[this.#random.integer(0, this.#servers.length - 1)]
    let chosen = pick()
    return {
      timeline: this.#timeline,
      random: this.#random,
      judge: this.#judge,
      connect: (door, peer) => {
        const before = chosen
        if (cluster !== undefined && this.#random.chance(cluster.roaming)) chosen = pick()
        if (chosen !== before) this.#timeline.count(`moved to another server: ${door}`)
        return this.#connect(door, peer, chosen)
      },
      quiet: () => this.#timeline.now >= this.#scenario.quietAt
    }
  }

  #connect(door: Door, peer: Peer, server: SimulatedServer | undefined): Link {
    const name = `${door}-${++this.#linkCount}`
    const quiet = this.#timeline.now >= this.#scenario.quietAt
    const world = { timeline: this.#timeline, random: this.#random.split(), judge: this.#judge }
    const link = new Link(name, door, peer, world, quiet ? calmNetwork : this.#scenario.network)
    link.connect(server?.listen(link))
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

  /** Each server is probed, and then all are ended. */
  #probe(): void {
    const timeline = this.#timeline
    this.#phase = "probing"
    for (const server of this.#servers) this.#probeServer(server)
    timeline.after(probingMs, () => {
      this.#phase = "closing"
      let serving = this.#servers.length
      for (const server of this.#servers) {
        this.#expectNobody(server)
        server.shutdown(() => {
          if (--serving === 0) this.#phase = "over"
        })
      }
    })
  }

  /**
   * Nobody is connected: all that was reserved must have been given back. As many frames as there is room for are begun
   * and not ended, so that one more must wait; when they are gone, it is answered.
   */
  #probeServer(server: SimulatedServer): void {
    const { frameBudgetBytes, frameBytesMax } = this.#scenario.settings.connections
    const timeline = this.#timeline
    this.#expectNobody(server)
    const isShared = this.#scenario.cluster !== undefined
    if (isShared && server.endsWhenServed && this.#judge.allServed) {
      timeline.fail("a server hasn't ended, and all agencies are served")
    }
    const frame = encodeFrame(new Uint8Array(frameBytesMax))
    const holders = Array.from(
      { length: frameBudgetBytes / frameBytesMax },
      () => this.#probeWith(server, (link) => link.send(frame.subarray(0, frameBytesMax)))
    )
    timeline.after(300, () => {
      if (holders.some((link) => link.paused)) timeline.fail("the frame budget is not full again")
      const late = this.#probeWith(server, (link) => link.ask({ _tag: "Nonsense" }, frame))
      timeline.after(200, () => {
        if (late.answered > 0) timeline.fail("a frame was read that there was no room for")
        for (const link of holders) link.abandon()
      })
      timeline.after(5000, () => {
        if (late.answered === 0) timeline.fail("who waited for room was forgotten")
      })
    })
  }

  #probeWith(server: SimulatedServer, act: (link: Link) => void): Link {
    const link: Link = this.#connect("bets", {
      onOpen: () => act(link),
      onAnswer: () => {},
      onClosed: () => {}
    }, server)
    return link
  }

  #expectNobody({ connections, serving, turnsWaiting }: SimulatedServer): void {
    if (!serving) this.#timeline.fail("the server doesn't serve")
    if (connections > 0) this.#timeline.fail(`${connections} connections are left, and no agency`)
    if (turnsWaiting > 0) this.#timeline.fail(`${turnsWaiting} turns are left in the queue`)
  }
}
