/**
 * kill -9 of the server at random moments, restarted at once, while agencies sell: ours (the product's client) and the
 * field's, which start again from the top of their files when a connection breaks. After every kill, before the restart,
 * the ledger must hold what was acknowledged; and when the last agency has finished, every bet once and in order, the
 * draw once, and each agency its winners.
 *
 * One round is one kill. Rounds are played in lotteries of several, each with a ledger of its own: the last kill of
 * each falls among the last chunks, the draw and the consults. Moments, sizes and speeds come from the seed; the kernel's
 * scheduling does not.
 */
import { deepStrictEqual, ok } from "node:assert/strict"
import { copyFileSync, existsSync, rmSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { setTimeout } from "node:timers/promises"
import { Random } from "../simulation/Random.ts"
import { Central } from "../support/Central.ts"
import { FieldAgency } from "../support/FieldAgency.ts"
import { freePortPair } from "../support/FreePorts.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { ourAgency } from "../support/OurAgency.ts"
import { waitUntilGone } from "../support/Processes.ts"
import { sales, winnersOf } from "../support/Sales.ts"
import { within } from "../support/WaitUntil.ts"

const fieldAgencies = 5
const ourAgencies = 3
/** One more agency sells a little from time to time: a restart must not forget it while others fill the next snapshot. */
const agencies = fieldAgencies + ourAgencies + 1
/** An agency that waits longer than this for the central has been forgotten. */
const agencyDeadlineMs = 120_000

export interface KillReport {
  readonly rounds: number
  readonly bets: number
  /** Bets whose acknowledgement was checked after a kill, summed over the kills. */
  readonly checked: number
  readonly restartMs: number
}

interface Ports {
  readonly betsPort: number
  readonly consultPort: number
}

/** An agency of this lottery: what it sells, and what it has been told. */
abstract class Seller {
  readonly id: number
  readonly bets: ReadonlyArray<string>
  /** How many of its bets were acknowledged, the highest that it was ever told. */
  acknowledged = 0
  winners: ReadonlyArray<string> | undefined

  constructor(id: number, bets: ReadonlyArray<string>) {
    this.id = id
    this.bets = bets
  }

  protected acknowledge(bets: number): void {
    this.acknowledged = Math.max(this.acknowledged, bets)
  }

  abstract work(ports: Ports, random: Random, windingDown: () => boolean): Promise<void>
}

/** Every interruption sends it back to the top of its file, with another chunk size. */
class FieldSeller extends Seller {
  async work(ports: Ports, random: Random, windingDown: () => boolean): Promise<void> {
    const start = performance.now()
    while (this.winners === undefined) {
      try {
        using agency = await FieldAgency.open(ports, this.id)
        await this.#sell(agency, random, windingDown)
        this.winners = await agency.consult()
      } catch (error) {
        if (performance.now() - start > agencyDeadlineMs) throw error
        await setTimeout(random.integer(5, 60))
      }
    }
  }

  async #sell(agency: FieldAgency, random: Random, windingDown: () => boolean): Promise<void> {
    const chunk = random.integer(1, 12)
    for (let at = 0; at === 0 || at < this.bets.length;) {
      // The rest goes fast when the end is near; until then there is something left to sell.
      const slowly = !windingDown()
      const size = slowly ? chunk : 200
      if (slowly && at > 0.8 * this.bets.length) {
        await setTimeout(10)
        continue
      }
      if (slowly) await setTimeout(random.integer(0, 3))
      const last = at + size >= this.bets.length
      const answer = await agency.sendChunk(this.bets.slice(at, at + size), last)
      if (answer === undefined) throw new Error("closed")
      ok(answer.type_message === 1, `a chunk was refused: ${JSON.stringify(answer)}`)
      at += size
      this.acknowledge(Math.min(at, this.bets.length))
    }
  }
}

/** Sells a little, leaves, and comes back after a life of the server or two, from the top of its file. */
class IdleSeller extends Seller {
  async work(ports: Ports, random: Random, windingDown: () => boolean): Promise<void> {
    let connected = performance.now()
    while (this.winners === undefined) {
      try {
        using agency = await FieldAgency.open(ports, this.id)
        connected = performance.now()
        const all = windingDown()
        await this.#sell(agency, all ? this.bets.length : this.acknowledged + 10)
        if (all) this.winners = await agency.consult()
        else await idle(random.integer(300, 2500), windingDown)
      } catch (error) {
        if (performance.now() - connected > agencyDeadlineMs) throw error
        await setTimeout(random.integer(5, 60))
      }
    }
  }

  /** In chunks of ten, and the last one only when all is to be sold. */
  async #sell(agency: FieldAgency, bets: number): Promise<void> {
    for (let at = 0; at < bets; at += 10) {
      const last = at + 10 >= this.bets.length
      if (last && bets < this.bets.length) return
      const answer = await agency.sendChunk(this.bets.slice(at, at + 10), last)
      if (answer === undefined) throw new Error("closed")
      ok(answer.type_message === 1, `a chunk was refused: ${JSON.stringify(answer)}`)
      this.acknowledge(Math.min(at + 10, this.bets.length))
    }
  }
}

const idle = async (ms: number, ends: () => boolean): Promise<void> => {
  for (const start = performance.now(); performance.now() - start < ms && !ends();) {
    await setTimeout(20)
  }
}

/** The product's own client. */
class OurSeller extends Seller {
  async work(ports: Ports, random: Random): Promise<void> {
    this.winners = await ourAgency({
      ...ports,
      id: this.id,
      bets: () => this.bets,
      chunkBets: random.integer(1, 4),
      windowChunks: random.integer(1, 8),
      giveUpAfterMs: agencyDeadlineMs,
      onStored: (count) => {
        ok(
          count >= this.acknowledged,
          `agency ${this.id}: ${this.acknowledged} bets became ${count}`
        )
        this.acknowledge(count)
      }
    })
  }
}

/** What the dead server's ledger holds, from a copy: opening the ledger itself would tidy it up before the restart. */
const storedCounts = (path: string): ReadonlyMap<number, number> => {
  if (!existsSync(path)) return new Map()
  const copy = `${path}.copy`
  for (const rest of ["", "-wal"]) {
    if (existsSync(path + rest)) copyFileSync(path + rest, copy + rest)
  }
  const database = new DatabaseSync(copy)
  try {
    const table = database.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'agency'")
    if (table.get()?.["n"] === 0) return new Map()
    return new Map(
      database.prepare("SELECT agency, bets FROM agency").all()
        .map((row) => [Number(row["agency"]), Number(row["bets"])])
    )
  } finally {
    database.close()
    for (const rest of ["", "-wal", "-shm"]) rmSync(copy + rest, { force: true })
  }
}

/** Whether the draw is stored is for the final check; that it was told of more than once would be in the logs. */
const drawsIn = (log: string): number => log.split("action: sorteo | result: success").length - 1

class Lottery {
  readonly #random: Random
  readonly #sellers: ReadonlyArray<Seller>
  #windingDown = false
  #checked = 0
  #restartMs = 0
  #draws = 0

  constructor(random: Random, kills: number) {
    this.#random = random
    this.#sellers = Array.from({ length: agencies }, (_, index) => {
      const id = index + 1
      // Ours are paced by the disk, the field's by themselves: enough for all the kills, whatever the machine.
      const bets = sales(id, random.integer(60, 150) * (kills + 1), random.integer(0, 9))
      return id <= fieldAgencies
        ? new FieldSeller(id, bets)
        : id < agencies
        ? new OurSeller(id, bets)
        : new IdleSeller(id, bets)
    })
  }

  async play(kills: number): Promise<KillReport> {
    const random = this.#random
    // Not of those that outgoing connections are given: an agency that tries to reach a dead central could be given
    // the central's own port, and reach itself.
    const betsPort = await freePortPair()
    const ports = { betsPort, consultPort: betsPort + 1 }
    const host = "127.0.0.1"
    await using central = await Central.prepare({
      agencies,
      settings: {
        bets: { host, port: ports.betsPort },
        consult: { host, port: ports.consultPort },
        parsers: { processes: random.integer(1, 2) },
        // A restart reads the snapshot and the chunks after it: many snapshots, also between two kills.
        ledger: { snapshotChunks: random.integer(2, 60) }
      }
    })
    await this.#restart(central)
    const working = Promise.all(
      this.#sellers.map((seller) => seller.work(ports, random.split(), () => this.#windingDown))
    )
    // Whatever goes wrong with an agency is told when all of this is awaited.
    working.catch(() => {})
    for (let kill = 1; kill <= kills; kill++) await this.#kill(central, kill === kills)
    await within("the end of every agency", working, agencyDeadlineMs)
    await this.#judge(central)
    const bets = this.#sellers.reduce((sum, seller) => sum + seller.bets.length, 0)
    return { rounds: kills, bets, checked: this.#checked, restartMs: this.#restartMs / kills }
  }

  async #restart(central: Central): Promise<void> {
    const start = performance.now()
    await central.start()
    this.#restartMs += performance.now() - start
  }

  async #kill(central: Central, last: boolean): Promise<void> {
    const random = this.#random
    if (last) {
      this.#windingDown = true
      if (random.chance(0.5)) {
        // Most of what happens at the end happens within moments of the draw.
        await Promise.race([
          central.waitForLine("action: sorteo", agencyDeadlineMs).catch(() => undefined),
          setTimeout(5000)
        ])
        await setTimeout(random.skewed(0, 100))
      } else await setTimeout(random.integer(0, 1500))
    } else await setTimeout(random.integer(0, 300))
    await this.#end(central)
    // Sometimes the next one doesn't live to be ready.
    if (random.chance(0.2)) {
      await central.spawn()
      await setTimeout(random.integer(50, 500))
      await this.#end(central)
    }
    await this.#restart(central)
  }

  async #end(central: Central): Promise<void> {
    const { children } = central
    await central.kill()
    this.#draws += drawsIn(central.log)
    const stored = storedCounts(central.ledgerPath)
    for (const { acknowledged, id } of this.#sellers) {
      const bets = stored.get(id) ?? 0
      ok(bets >= acknowledged, `agency ${id}: ${acknowledged} bets acknowledged, ${bets} stored`)
      this.#checked += acknowledged
    }
    await waitUntilGone(children)
  }

  async #judge(central: Central): Promise<void> {
    const ending = await central.stop()
    deepStrictEqual(ending.code, 0, central.log.slice(-2000) + central.errors)
    this.#draws += drawsIn(central.log)
    ok(this.#draws <= 1, `the draw was announced ${this.#draws} times`)
    using ledger = new LedgerFile(central.ledgerPath)
    for (const { bets, id, winners } of this.#sellers) {
      deepStrictEqual(ledger.betsOf(id), bets, `agency ${id}: its bets, once and in order`)
      deepStrictEqual(winners, winnersOf(bets), `agency ${id}: its winners`)
    }
    using database = new DatabaseSync(join(central.ledgerPath), { readOnly: true })
    deepStrictEqual(database.prepare("SELECT count(*) AS n FROM draw").get()?.["n"], 1)
  }
}

/** Plays that many rounds. Fails with what went wrong and the lottery's seed. */
export const killRounds = async (
  seed: number,
  rounds: number,
  killsALottery: number,
  onLottery: (seed: number, report: KillReport) => void = () => {}
): Promise<KillReport> => {
  let total: KillReport = { rounds: 0, bets: 0, checked: 0, restartMs: 0 }
  for (let lottery = 0; total.rounds < rounds; lottery++) {
    const kills = Math.min(killsALottery, rounds - total.rounds)
    const lotterySeed = seed + lottery
    try {
      const report = await new Lottery(new Random(lotterySeed), kills).play(kills)
      onLottery(lotterySeed, report)
      total = {
        rounds: total.rounds + kills,
        bets: total.bets + report.bets,
        checked: total.checked + report.checked,
        restartMs: (total.restartMs * total.rounds + report.restartMs * kills)
          / (total.rounds + kills)
      }
    } catch (error) {
      throw new Error(`seed ${lotterySeed}, ${kills} kills: ${String(error)}`, { cause: error })
    }
  }
  return total
}
