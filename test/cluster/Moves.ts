/**
 * A whole lottery over several servers and one PostgreSQL, in which agencies move and things fail, until it is wound down.
 * What was acknowledged is compared with what is stored after each fault, and every bet, the draw and every winner at the
 * end. Moments and sizes come from the seed; the kernel's scheduling does not.
 */
import { deepStrictEqual, ok } from "node:assert/strict"
import { setTimeout } from "node:timers/promises"
import { Random } from "../simulation/Random.ts"
import type { Postgres } from "../support/Postgres.ts"
import { sales, winnersOf } from "../support/Sales.ts"
import { TcpProxy } from "../support/TcpProxy.ts"
import { waitUntil, within } from "../support/WaitUntil.ts"
import { FieldMover, type Mover, OurMover, type Surroundings } from "./Movers.ts"
import { Servers } from "./Servers.ts"
import { SharedLedger } from "./SharedLedger.ts"

export interface MovesOptions {
  readonly postgres: Postgres
  /** Between the servers and PostgreSQL, if there is one. */
  readonly proxy?: TcpProxy
  /** Its synchronous standby, if it has one. */
  readonly standby?: Postgres
  readonly agencies: number
  readonly betsEach: number
  readonly seed: number
  /** Until it is wound down. It lasts longer until there was enough of what it is about. */
  readonly lastsMs: number
  readonly enough?: (report: MovesReport) => boolean
  readonly moveEveryMs: number
  readonly faults: ReadonlyArray<FaultName>
  /** Between two faults, at most. */
  readonly faultEveryMs: number
  readonly onFault?: (line: string) => void
  /** How long an agency may make no progress, as on a machine that is busy with starting servers. */
  readonly patienceMs?: number
}

export interface MovesReport {
  readonly moves: number
  readonly faults: Readonly<Partial<Record<FaultName, number>>>
  /** Of all agencies. */
  readonly claims: number
  /** Connections that were closed because another server had claimed their agency, or another connection spoke for it. */
  readonly superseded: number
  /** Groups whose answer was lost. */
  readonly inDoubt: number
  readonly bets: number
  /** Bets whose acknowledgement was compared with what was stored after a fault, summed over the faults. */
  readonly checked: number
}

interface Stage {
  readonly postgres: Postgres
  readonly proxy: TcpProxy | undefined
  readonly standby: Postgres | undefined
  readonly servers: Servers
  /** Between each server and PostgreSQL. */
  readonly ways: ReadonlyArray<TcpProxy>
  readonly random: Random
}

const serverCount = 3
const startsMax = 10
const patienceMsDefault = 120_000

/** A server that isn't there, for a while. */
const away = async ({ random, servers }: Stage, indexes: ReadonlyArray<number>): Promise<void> => {
  await Promise.all(indexes.map((index) => servers.kill(index)))
  await setTimeout(random.integer(0, 500))
  // Sometimes the next one doesn't live to be ready.
  if (random.chance(0.2)) {
    await Promise.all(indexes.map((index) => servers.at(index).spawn()))
    await setTimeout(random.integer(50, 800))
    await Promise.all(indexes.map((index) => servers.kill(index)))
  }
  await Promise.all(indexes.map((index) => restarted(servers, index)))
}

/** As a container runtime does it: a server that can't reach the database in time ends, and is started again. */
const restarted = async (servers: Servers, index: number): Promise<void> => {
  const central = servers.at(index)
  for (let tries = 1;; tries++) {
    try {
      return await central.start(patienceMsDefault)
    } catch (error) {
      if (central.running || tries === startsMax) throw error
    }
  }
}

const faults = {
  /** kill -9 of one. */
  kill: (stage: Stage) => away(stage, [stage.random.integer(0, serverCount - 1)]),
  killAll: (stage: Stage) => away(stage, Array.from({ length: serverCount }, (_, index) => index)),
  /** A server stands still, and goes on when its agencies have moved. */
  pause: async ({ random, servers }: Stage) => {
    const central = servers.at(random.integer(0, serverCount - 1))
    central.signal("SIGSTOP")
    await setTimeout(random.integer(50, 1500))
    central.signal("SIGCONT")
  },
  /** What one server sends to PostgreSQL comes there when some of its agencies have moved to the others. */
  strand: async ({ random, ways }: Stage) => {
    const way = ways[random.integer(0, serverCount - 1)]
    way?.set("stall", ["up"])
    await setTimeout(random.integer(300, 1000))
    way?.heal()
  },
  terminateSessions: async ({ postgres }: Stage) => {
    await postgres.terminateSessions()
  },
  restartFast: ({ postgres }: Stage) => postgres.restart("fast"),
  restartImmediate: ({ postgres }: Stage) => postgres.restart("immediate"),
  crash: ({ postgres }: Stage) => postgres.restart("kill"),
  /** Once: there is one standby. The last answers of the primary are lost: what they confirm is stored. */
  failover: async ({ postgres, proxy, standby }: Stage) => {
    if (standby === undefined || proxy === undefined) throw new Error("there is no standby")
    if (!postgres.running) return
    proxy.set("lose", ["down"])
    await setTimeout(200)
    proxy.target = () => standby.port
    await postgres.kill()
    await standby.promote()
    proxy.heal()
  },
  /** The network between the servers and PostgreSQL. */
  cut: async ({ proxy }: Stage) => {
    proxy?.cut()
    await Promise.resolve()
  },
  lose: async ({ proxy, random }: Stage) => {
    proxy?.set("lose", [random.pick(["up", "down"])])
    await setTimeout(random.integer(1, 800))
    proxy?.heal()
  },
  stall: async ({ proxy, random }: Stage) => {
    proxy?.set("stall", [random.pick(["up", "down"])])
    await setTimeout(random.integer(1, 800))
    proxy?.heal()
  }
} as const

type FaultName = keyof typeof faults

/** For a command line: all but those that need a standby. */
export const faultNames: ReadonlyArray<FaultName> = Object.keys(faults)
  .filter((name): name is FaultName => name in faults && name !== "failover")

const sum = (numbers: ReadonlyArray<number>): number =>
  numbers.reduce((total, number) => total + number, 0)

class Lottery {
  readonly #options: MovesOptions
  readonly #random: Random
  readonly #movers: ReadonlyArray<Mover>
  readonly #faults: Partial<Record<FaultName, number>> = {}
  readonly #ways: Array<TcpProxy> = []
  #began = 0
  #windingDown = false
  #over = false
  #checked = 0

  constructor(options: MovesOptions) {
    this.#options = options
    this.#random = new Random(options.seed)
    this.#movers = Array.from({ length: options.agencies }, (_, index) => {
      const bets = sales(index + 1, options.betsEach, this.#random.integer(0, 9))
      return new (index % 2 === 0 ? FieldMover : OurMover)(index + 1, bets)
    })
  }

  async play(): Promise<MovesReport> {
    const { agencies, patienceMs = patienceMsDefault, postgres, proxy } = this.#options
    const ledger = await SharedLedger.create(postgres)
    await using stack = new AsyncDisposableStack()
    const target = proxy?.port ?? postgres.port
    for (let at = 0; at < serverCount; at++) {
      this.#ways.push(stack.use(await TcpProxy.start(target)))
    }
    const urls = this.#ways.map(({ port }) => ledger.url(port))
    await using servers = await Servers.start(urls, {
      agencies,
      settings: { log: { level: "DEBUG" } }
    })
    this.#began = performance.now()
    const [first, ...others] = servers.addresses
    ok(first !== undefined)
    const around: Surroundings = {
      addresses: [first, ...others],
      mayHaveSold: () => this.#mayHaveSold,
      moveEveryMs: this.#options.moveEveryMs,
      patienceMs
    }
    const working = Promise.all(
      this.#movers.map((mover) => mover.work(around, this.#random.split()))
    )
    // Whatever goes wrong with an agency is told at once, and not only when all have ended.
    const failing = this.#fail(servers, ledger)
    try {
      await Promise.race([working, failing])
    } finally {
      this.#over = true
      await failing.catch(() => {})
    }
    await within("the end of every agency", working, patienceMs)
    await this.#judge(servers, this.#now(ledger))
    return this.#report(servers, ledger)
  }

  async #report(servers: Servers, ledger: SharedLedger): Promise<MovesReport> {
    const now = this.#now(ledger)
    return {
      moves: sum(this.#movers.map((mover) => mover.moves)),
      faults: this.#faults,
      claims: await now.number("SELECT sum(epoch) FROM agency"),
      ...servers.counts,
      bets: await now.number("SELECT sum(bets) FROM chunk"),
      checked: this.#checked
    }
  }

  get #acknowledged(): number {
    return sum(this.#movers.map(({ acknowledged }) => acknowledged))
  }

  get #mayHaveSold(): number {
    if (this.#windingDown) return 1
    return Math.min(0.9, 0.9 * (performance.now() - this.#began) / this.#options.lastsMs)
  }

  /** One fault after the other, and one more when nearly all is sold: among the last chunks, the draw and the consults. */
  async #fail(servers: Servers, ledger: SharedLedger): Promise<void> {
    const { enough, faultEveryMs, lastsMs, patienceMs = patienceMsDefault } = this.#options
    const random = this.#random
    const lasts = async () => {
      const ms = performance.now() - this.#began
      if (this.#over || ms > lastsMs + patienceMs) return false
      return ms < lastsMs || enough?.(await this.#report(servers, ledger)) === false
    }
    await waitUntil(
      "bets to be sold",
      () => this.#over || this.#acknowledged > 5 * this.#movers.length
    )
    while (await lasts()) {
      await setTimeout(random.integer(0, faultEveryMs))
      await this.#one(servers, ledger)
    }
    this.#windingDown = true
    await setTimeout(random.integer(0, 1500))
    await this.#one(servers, ledger)
  }

  async #one(servers: Servers, ledger: SharedLedger): Promise<void> {
    const { faults: names, onFault, postgres, proxy, standby } = this.#options
    const [first, ...others] = names
    if (first === undefined) return
    const name = this.#random.pick([first, ...others])
    const acknowledged = this.#movers.map((mover) => mover.acknowledged)
    const stage = { postgres, proxy, standby, servers, ways: this.#ways, random: this.#random }
    await faults[name](stage)
    this.#faults[name] = (this.#faults[name] ?? 0) + 1
    const stored = await this.#now(ledger).counts()
    for (const [index, bets] of acknowledged.entries()) {
      const there = stored.get(index + 1) ?? 0
      ok(there >= bets, `agency ${index + 1}: ${bets} bets acknowledged, ${there} stored`)
    }
    this.#checked += sum(acknowledged)
    const seconds = ((performance.now() - this.#began) / 1000).toFixed(0)
    onFault?.(`${seconds} s: ${name}; ${sum(acknowledged)} bets acknowledged, and stored`)
  }

  /** Where the ledger is after a failover. */
  #now(ledger: SharedLedger): SharedLedger {
    const { postgres, standby } = this.#options
    return standby === undefined || postgres.running ? ledger : ledger.on(standby)
  }

  async #judge(servers: Servers, ledger: SharedLedger): Promise<void> {
    deepStrictEqual(await servers.stop(), servers.centrals.map(() => 0), "exit codes")
    // One that ended by itself may have been started again by a fault.
    deepStrictEqual(servers.counts.defects, 0, "defects")
    for (const { bets, id, winners } of this.#movers) {
      deepStrictEqual(await ledger.betsOf(id), bets, `agency ${id}: its bets, once and in order`)
      deepStrictEqual(winners, winnersOf(bets), `agency ${id}: its winners`)
    }
    deepStrictEqual(await ledger.number("SELECT count(*) FROM draw"), 1, "one draw")
  }
}

/** Fails with what went wrong and the seed. */
export const moves = async (options: MovesOptions): Promise<MovesReport> => {
  try {
    return await new Lottery(options).play()
  } catch (error) {
    throw new Error(`seed ${options.seed}: ${String(error)}`, { cause: error })
  }
}
