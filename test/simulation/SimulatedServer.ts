/**
 * A server of the simulation through all its lives: it starts, is killed, ended in good order or stopped, and starts
 * again. It holds the connections that lead to it.
 */
import type { LogLevel } from "../../src/services/base/LogLevel.ts"
import type { Details } from "../../src/services/base/OperatorLog.ts"
import type { Judge } from "./Judge.ts"
import { Life } from "./Life.ts"
import type { Random } from "./Random.ts"
import type { Blow, Scenario } from "./Scenario.ts"
import type { LedgerLife, SimulatedHome } from "./SimulatedLedger.ts"
import type { Link, Listening } from "./SimulatedNetwork.ts"
import { openParser, type ParserLife } from "./SimulatedParser.ts"
import type { Timeline } from "./Timeline.ts"
import { parserWorld } from "./Troubles.ts"

export interface ServerWorld {
  readonly timeline: Timeline
  readonly random: Random
  readonly scenario: Scenario
  readonly judge: Judge
  readonly home: SimulatedHome
  /** Numbers the lives of all servers, from 1. */
  readonly nextLife: () => number
  /** Whether all is sold and told: servers that have nothing left to do go on nevertheless. */
  readonly staysUp: () => boolean
}

/** What a shutdown may take beyond its grace: writes that are under way are waited for. */
const shutdownSlackMs = { alone: 4000, shared: 12_000 } as const
/** Of the grace, what is kept for those that end after the connections. */
const graceKeptMs = 2000

export class SimulatedServer {
  readonly #name: string
  readonly #world: ServerWorld
  readonly #links = new Map<string, Link>()
  readonly #reasons = new Set<string>()
  /** The current or the last life. */
  #number = 0
  #life: Life | undefined
  #endsWhenServed = false
  #ledgerLife: LedgerLife | undefined
  #parserLife: ParserLife | undefined
  /** From here on a shutdown no longer waits for connections. */
  #graceUsedUp = Number.POSITIVE_INFINITY

  constructor(name: string, world: ServerWorld) {
    this.#name = name
    this.#world = world
    this.#start()
  }

  get life(): number {
    return this.#number
  }

  get connections(): number {
    return this.#life?.connections ?? 0
  }

  get turnsWaiting(): number {
    return this.#life?.turnsWaiting ?? 0
  }

  get serving(): boolean {
    return this.#life?.serving ?? false
  }

  /** Where a new connection arrives. */
  listen(link: Link): Listening | undefined {
    const life = this.#life
    if (life === undefined || !life.serving) return undefined
    this.#links.set(link.name, link)
    return {
      life: this.#number,
      get stopped() {
        return life.stopped
      },
      accept: (door, transport) => life.accept(door, transport),
      deliver: (run) => life.deliver(run)
    }
  }

  /** It ends when it learns that all agencies were served. */
  get endsWhenServed(): boolean {
    return this.#endsWhenServed
  }

  // ---- its lives

  #start(): void {
    const { home, judge, nextLife, random, scenario, staysUp, timeline } = this.#world
    const { cluster, roster, settings, winningNumber } = scenario
    const number = nextLife()
    this.#number = number
    timeline.trace(`${this.#name} starts life ${number}`)
    this.#graceUsedUp = Number.POSITIVE_INFINITY
    const process = {
      life: number,
      deliver: (run: () => void) => {
        if (this.#number === number) this.#life?.deliver(run)
      }
    }
    this.#ledgerLife = home.open({ roster, winningNumber }, process)
    judge.onOpened(number, cluster === undefined)
    const troubled = { timeline, random: random.split(), scenario, judge }
    const parsers = parserWorld(troubled, process.deliver)
    this.#parserLife = openParser(parsers, settings.parsers.processes)
    const ends = settings.lottery.exitWhenServed && !staysUp()
    this.#endsWhenServed = ends
    this.#life = new Life({
      timeline,
      settings: { ...settings, lottery: { ...settings.lottery, exitWhenServed: ends } },
      ledger: this.#ledgerLife,
      parser: this.#parserLife,
      onLog: (level, action, result, details) => this.#onLog(level, action, result, details),
      onKilled: () => this.#onKilled(),
      onStartFailed: () => {
        timeline.trace(`${this.#name} can't open the ledger`)
        timeline.count("a server didn't start")
        this.#end()
        this.#startLater()
      },
      onDone: () => {
        timeline.count("the server was done")
        judge.onDone(number)
        timeline.after(0, () => this.shutdown())
      }
    })
  }

  #startLater(): void {
    const { random, timeline } = this.#world
    timeline.after(random.integer(0, 1500), () => this.#start())
  }

  blow(kind: Blow["kind"]): void {
    if (kind === "shutdown") this.shutdown()
    else this.#life?.crashAfter(this.#world.random.skewed(0, 40))
  }

  stop(duration: number): void {
    const life = this.#life
    const { timeline } = this.#world
    if (life === undefined || life.stopped) return
    timeline.trace(`${this.#name} is stopped`)
    timeline.count("a server was stopped")
    life.stop()
    timeline.after(duration, () => {
      timeline.trace(`${this.#name} continues`)
      life.continue()
      for (const link of this.#links.values()) link.kick()
    })
  }

  #onKilled(): void {
    const { random, timeline } = this.#world
    timeline.trace(`${this.#name} was killed`)
    timeline.count("crash")
    this.#ledgerLife?.crash(() => random.chance(0.5))
    this.#end()
    this.#startLater()
  }

  shutdown(onClosed: () => void = () => this.#startLater()): void {
    const { scenario: { cluster, settings }, timeline } = this.#world
    const life = this.#life
    if (life === undefined || !life.serving) return
    life.deliver(() => {
      if (!life.serving) return
      const slackMs = shutdownSlackMs[cluster === undefined ? "alone" : "shared"]
      const { graceMs } = settings.shutdown
      this.#graceUsedUp = timeline.now + graceMs - graceKeptMs
      timeline.trace(`${this.#name} is told to end`)
      timeline.count("shutdown")
      for (const link of this.#links.values()) link.owed = link.received
      timeline.after(graceMs + slackMs, () =>
        life.deliver(() => {
          if (this.#life === life) timeline.fail("the shutdown takes longer than its grace")
        }))
      life.shutdown(() => {
        timeline.trace(`${this.#name} ended`)
        for (const link of this.#links.values()) this.#expectReason(link)
        this.#ledgerLife?.crash(() => true)
        this.#end()
        onClosed()
      })
    })
  }

  /** The process is gone, and its sockets with it. */
  #end(): void {
    this.#life = undefined
    this.#parserLife?.crash()
    for (const link of this.#links.values()) link.serverVanished()
    this.#links.clear()
  }

  // ---- its log

  #onLog(
    level: LogLevel,
    action: string,
    result: string,
    details: Details | undefined
  ): void {
    const { judge, scenario, timeline } = this.#world
    timeline.trace(`${this.#name} ${level} ${action} ${result} ${JSON.stringify(details ?? {})}`)
    if (level === "CRITICAL") {
      timeline.fail(`a defect: ${action} ${String(details?.["cause"])}`)
    }
    judge.onLog(this.#number, scenario.cluster !== undefined, action, result)
    if (action !== "connection_closed") return
    const name = String(details?.["ip"])
    const reason = String(details?.["reason"])
    timeline.count(`closed: ${reason}`)
    if (this.#reasons.has(name)) timeline.fail(`${name} ended twice`)
    this.#reasons.add(name)
    const link = this.#links.get(name)
    this.#links.delete(name)
    if (reason === "connection_lost") this.#expectReason(link)
    if (reason === "shutdown" && link?.door === "bets" && link.answered < link.owed) {
      timeline.fail(`${name}: ${link.answered} of ${link.owed} frames read were answered`)
    }
  }

  #expectReason(link: Link | undefined): void {
    const { timeline } = this.#world
    if (!link?.dropped || timeline.now >= this.#graceUsedUp) return
    timeline.fail(`${link.name}: dropped without a reason`)
  }
}
