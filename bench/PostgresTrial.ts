/** A PostgreSQL with the ledger's tables in several databases, one of which is pgbench's. */
import { Effect, Layer, Result } from "effect"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { AgencyId } from "../src/domain/Agency.ts"
import { DrawName, WinningNumber } from "../src/domain/Draw.ts"
import { parsePostgresUrl } from "../src/services/base/PostgresUrl.ts"
import { BetLedger } from "../src/services/ledger/BetLedger.ts"
import { postgresLedgerLayer } from "../src/services/ledger/postgres/PostgresLedger.ts"
import { strictKeeperLayer } from "../test/support/Kept.ts"
import { type BenchChunk, benchChunk } from "./BenchChunk.ts"
import { endChild, pidOf, runWell, which } from "./Child.ts"
import { settleMs } from "./Measure.ts"
import { Pgbench } from "./Pgbench.ts"
import { Cluster, findPrograms } from "./PostgresCluster.ts"
import { cpuSeconds } from "./Usage.ts"

type Started = Awaited<ReturnType<Cluster["start"]>>

const connectionsMax = 100
const pgbenchDatabase = "pgbench"

export interface PgbenchFigures {
  readonly chunksPerSecond: number
  /** Microseconds a chunk, of pgbench. */
  readonly clientCpu: number
  /** Of all processes of PostgreSQL. */
  readonly serverCpu: number
}

export class PostgresTrial implements AsyncDisposable {
  /** As `postgres --version` says it. */
  readonly version: string
  readonly chunk: BenchChunk = benchChunk()
  readonly #cluster: Cluster
  readonly #started: Started
  readonly #pgbench: Pgbench

  private constructor(version: string, cluster: Cluster, started: Started, pgbench: string) {
    this.version = version
    this.#cluster = cluster
    this.#started = started
    const { folder } = cluster
    this.#pgbench = new Pgbench(pgbench, folder, started.port, pgbenchDatabase, this.chunk)
  }

  /** Gives the reason when there can't be one here. */
  static async create(folder: string): Promise<PostgresTrial | string> {
    const programs = await findPrograms()
    if (programs === undefined) return "PostgreSQL isn't installed (package postgresql)"
    const pgbench = await which(join(programs, "pgbench")) ?? await which("pgbench")
    if (pgbench === undefined) return "pgbench isn't installed (package postgresql)"
    const version = (await runWell(join(programs, "postgres"), ["--version"])).trim()
    const cluster = await Cluster.create(programs, folder)
    const trial = new PostgresTrial(version, cluster, await cluster.start(connectionsMax), pgbench)
    await trial.newDatabase(pgbenchDatabase)
    await trial.withLedger(pgbenchDatabase, { agencies: 1, groupsMax: 1 }, () => Effect.void)
    return trial
  }

  /** Of all its processes. */
  get cpuSeconds(): number {
    return cpuSeconds(pidOf(this.#started.child))
  }

  url(database: string): string {
    return `postgres://postgres@127.0.0.1:${this.#started.port}/${database}`
  }

  async newDatabase(name: string): Promise<void> {
    await this.ask(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    await this.ask(`CREATE DATABASE ${name}`)
  }

  ask(sql: string, database = "postgres"): Promise<string> {
    return this.#cluster.ask(this.#started.port, sql, database)
  }

  /** What runs before leave behind must not slow the next one. */
  async settle(): Promise<void> {
    await this.ask("CHECKPOINT")
    await setTimeout(settleMs)
  }

  /** Opens the ledger, or begins it, in this process. */
  withLedger<A>(
    database: string,
    { agencies, groupsMax }: { readonly agencies: number; readonly groupsMax: number },
    use: (ledger: BetLedger["Service"]) => Effect.Effect<A, unknown>
  ): Promise<A> {
    const layer = postgresLedgerLayer({
      url: Result.getOrThrow(parsePostgresUrl(this.url(database))),
      roster: Array.from({ length: agencies }, (_, index) => AgencyId.make(index + 1)),
      winningNumber: WinningNumber.make(7574),
      draw: DrawName.make("bench"),
      server: "bench",
      groupsMax
    })
    return Effect.flatMap(BetLedger, use).pipe(
      Effect.provide(Layer.provide(layer, strictKeeperLayer)),
      Effect.runPromise
    )
  }

  async pgbench(connections: number, seconds: number): Promise<PgbenchFigures> {
    const begin = this.cpuSeconds
    const run = await this.#pgbench.run(connections, seconds)
    return {
      chunksPerSecond: run.chunksPerSecond,
      clientCpu: run.cpuSeconds / run.chunks * 1e6,
      serverCpu: (this.cpuSeconds - begin) / run.chunks * 1e6
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // "Fast": it does not wait for its clients to disconnect.
    await endChild(this.#started.child, "SIGINT")
  }
}
