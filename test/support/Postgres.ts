/**
 * A real PostgreSQL for tests: a server of its own on a port of its own, which it keeps when it is stopped, killed and
 * started again; alone, or with a standby. Ready in half a second; the first of a process takes a second more.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Exit, Redacted, Scope } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { appendFileSync, rmSync, writeFileSync } from "node:fs"
import { Socket } from "node:net"
import { dirname, join } from "node:path"
import {
  type PostgresPrograms,
  postgresPrograms
} from "../../src/services/trial/PostgresPrograms.ts"
import {
  initPostgres,
  type PostgresData,
  type PostgresRun,
  startPostgres
} from "../../src/services/trial/PostgresRun.ts"
import { freePortPair } from "./FreePorts.ts"
import { installed, missing } from "./Installed.ts"
import { descendants, waitUntilGone } from "./Processes.ts"
import { waitUntil } from "./WaitUntil.ts"

/** From npm, so always here; or Debian's, where it is found. */
type PostgresKind = "npm" | "debian"

/** For `describe.each`. Where `skipped` is set, the kind isn't here, and `name` says why. */
export const postgresKinds = (["npm", "debian"] as const).map((kind) => {
  const reason = kind === "debian" ? missing("postgres") : undefined
  const skipped = reason !== undefined
  return { kind, skipped, name: `PostgreSQL from ${kind}${skipped ? ` (skipped: ${reason})` : ""}` }
})

export interface PostgresOptions {
  readonly kind?: PostgresKind
  /** Over postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>
}

export type Row = Readonly<Record<string, unknown>>

const settingsOfTests = {
  shared_buffers: "32MB",
  // A standby that starts late must find what it missed.
  // A recovery needn't sync its thousand files one by one.
  recovery_init_sync_method: "syncfs",
  wal_keep_size: "512MB",
  log_line_prefix: "%m [%p] "
}

interface Template {
  readonly programs: PostgresPrograms
  readonly data: PostgresData
}

/** What each kind's servers begin as: made once in a process, and copied. */
const templates = new Map<PostgresKind, Promise<Template>>()

/**
 * Waits for the end of this process, however it ends, which closes its input; then ends the servers whose data is in the
 * folder, and removes it. The test runner ends its processes by a signal, on which they can do nothing any more.
 */
const executor = `
  read -r line
  for file in "$0"/*/postmaster.pid; do
    pid=$(head -n 1 "$file") && kill -QUIT "$pid" && while kill -0 "$pid"; do sleep 0.1; done
  done
  rm -rf "$0"`

const removeAtTheEnd = (folder: string): void => {
  const child = spawn("/bin/sh", ["-c", executor, folder], {
    cwd: "/",
    detached: true,
    stdio: ["pipe", "ignore", "ignore"]
  })
  child.unref()
  if (child.stdin instanceof Socket) child.stdin.unref()
}

const makeTemplate = async (kind: PostgresKind): Promise<Template> => {
  const binaries = kind === "debian" ? dirname(installed("postgres")) : undefined
  // Its scope is this process.
  const scope = Scope.makeUnsafe()
  const programs = await Effect.runPromise(Scope.provide(postgresPrograms(binaries), scope))
  removeAtTheEnd(programs.folder)
  return { programs, data: await Effect.runPromise(initPostgres(programs, "template")) }
}

const template = (kind: PostgresKind): Promise<Template> => {
  const made = templates.get(kind) ?? makeTemplate(kind)
  templates.set(kind, made)
  return made
}

/** Owners and modes stay as they are: PostgreSQL insists on them. */
const copy = (from: string, to: string): void => {
  execFileSync("cp", ["-a", from, to])
}

export class Postgres implements AsyncDisposable {
  readonly port: number
  readonly #data: PostgresData
  readonly #settings: Readonly<Record<string, string>>
  #standbys: Array<Postgres> = []
  #run: { readonly scope: Scope.Closeable; readonly server: PostgresRun } | undefined

  private constructor(
    data: PostgresData,
    port: number,
    settings: Readonly<Record<string, string>>
  ) {
    this.#data = data
    this.port = port
    this.#settings = settings
  }

  static async start({ kind = "npm", settings = {} }: PostgresOptions = {}): Promise<Postgres> {
    const { data, programs } = await template(kind)
    const folder = join(programs.folder, randomUUID())
    copy(data.folder, folder)
    const all = { ...settingsOfTests, ...settings }
    const postgres = new Postgres({ ...data, folder }, await freePortPair(), all)
    try {
      await postgres.start()
    } catch (error) {
      await postgres[Symbol.asyncDispose]()
      throw error
    }
    return postgres
  }

  /** Of a database, with the superuser and the password. `port` may be a proxy's. */
  url(database = "postgres", port = this.port): string {
    return `postgres://postgres:${this.#data.password}@127.0.0.1:${port}/${database}`
  }

  get running(): boolean {
    return this.#run !== undefined
  }

  /** Of the process that all others of the server follow. */
  get pid(): number {
    if (this.#run === undefined) throw new Error("PostgreSQL doesn't run")
    return this.#run.server.pid
  }

  /** What it logged since its last start. */
  get log(): string {
    return this.#run?.server.log() ?? ""
  }

  /** On the port it had; it recovers first where it was killed. */
  async start(): Promise<void> {
    if (this.running) throw new Error("PostgreSQL runs already")
    const scope = Scope.makeUnsafe()
    const options = { port: this.port, settings: this.#settings }
    const server = await Effect.runPromise(
      Scope.provide(startPostgres(this.#data, options), scope)
    )
    this.#run = { scope, server }
  }

  /** `fast` ends its sessions and writes everything down; `immediate` is a crash, of which its sessions are told. */
  async stop(mode: "fast" | "immediate" = "fast"): Promise<void> {
    if (this.#run === undefined) return
    await Effect.runPromise(this.#run.server.end(mode))
    await this.#ended()
  }

  /** All its processes at once: nobody is told anything, and what was not synced by it is the kernel's. */
  async kill(): Promise<void> {
    // It must start no process between the look and the kill.
    process.kill(this.pid, "SIGSTOP")
    const all = [...descendants(this.pid), this.pid]
    for (const pid of all) process.kill(pid, "SIGKILL")
    await waitUntilGone(all)
    await this.#ended()
  }

  async restart(mode: "fast" | "immediate" | "kill" = "fast"): Promise<void> {
    await (mode === "kill" ? this.kill() : this.stop(mode))
    await this.start()
  }

  /** Its URL. */
  async createDatabase(name = `lottery_${randomUUID().replaceAll("-", "")}`): Promise<string> {
    await this.query(`CREATE DATABASE "${name}"`)
    return this.url(name)
  }

  /** One statement on a connection of its own; `$1` is the first parameter. */
  query(
    statement: string,
    parameters: ReadonlyArray<unknown> = [],
    url = this.url()
  ): Promise<ReadonlyArray<Row>> {
    const layer = PgClient.layer({ url: Redacted.make(url), maxConnections: 1 })
    return Effect.gen(function*() {
      const sql = yield* PgClient.PgClient
      return yield* sql.unsafe<Row>(statement, parameters)
    }).pipe(Effect.provide(layer), Effect.runPromise)
  }

  /** Terminates the sessions of a database, or of all; how many. */
  async terminateSessions(database?: string): Promise<number> {
    const rows = await this.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND datname = coalesce($1, datname)`,
      [database ?? null]
    )
    return rows.length
  }

  /**
   * Adds a standby that has everything. Where it is synchronous, a commit waits for it from now on; else what is
   * committed may be lost with this server. This server is stopped for a moment. `port` may be a proxy's.
   */
  async addStandby(kind: "synchronous" | "asynchronous", port = this.port): Promise<Postgres> {
    const folder = `${this.#data.folder}-standby-${this.#standbys.length + 1}`
    await this.stop()
    copy(this.#data.folder, folder)
    const connection = `host=127.0.0.1 port=${port} user=postgres password=${this.#data.password}`
    appendFileSync(join(folder, "postgresql.auto.conf"), `primary_conninfo = '${connection}'\n`)
    writeFileSync(join(folder, "standby.signal"), "")
    const standby = new Postgres({ ...this.#data, folder }, await freePortPair(), this.#settings)
    this.#standbys.push(standby)
    await this.start()
    await standby.start()
    if (kind === "synchronous") {
      await this.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
      await this.query("SELECT pg_reload_conf()")
    }
    await waitUntil(
      `a ${kind} standby`,
      async () => {
        const [row] = await this.query("SELECT state, sync_state FROM pg_stat_replication")
        return row?.["state"] === "streaming"
          && row["sync_state"] === (kind === "synchronous" ? "sync" : "async")
      }
    )
    return standby
  }

  /** A standby becomes a primary, with what it has received. */
  async promote(): Promise<void> {
    await this.query("SELECT pg_promote()")
  }

  /** Its standbys end with it. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const standby of this.#standbys) await standby[Symbol.asyncDispose]()
    await this.stop("immediate")
    rmSync(this.#data.folder, { recursive: true, force: true })
  }

  async #ended(): Promise<void> {
    if (this.#run === undefined) return
    await Effect.runPromise(Scope.close(this.#run.scope, Exit.void))
    this.#run = undefined
  }
}
