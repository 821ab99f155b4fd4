/**
 * PostgreSQL in the ways that its manual advises for bulk intake ("Populating a Database"): many rows a transaction by
 * prepared INSERTs that are sent without waiting, an INSERT of whole arrays, or COPY; and room for its log. Its promise is ours: fsync and synchronous_commit are on.
 * It runs as another user than root, in a cluster of its own that is made once.
 */
import type { ChildProcess } from "node:child_process"
import { chmodSync, chownSync, globSync, mkdirSync, realpathSync } from "node:fs"
import { dirname, join } from "node:path"
import { endChild, freePort, pidOf, run, runWell, spawnLogged, untilReady, which } from "./Child.ts"
import type { Candidates, Contender, Place, Running } from "./Contender.ts"
import {
  type Encoding,
  postgresArrays,
  postgresCopy,
  postgresRows,
  postgresTable
} from "./Requests.ts"

/** Debian keeps them outside PATH, in a folder for each version. */
const findPrograms = async (): Promise<string | undefined> => {
  const found = await which("postgres")
  if (found !== undefined) return dirname(realpathSync(found))
  return globSync("/usr/lib/postgresql/*/bin/postgres").map((path) => dirname(path)).toSorted().at(
    -1
  )
}

interface User {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** PostgreSQL refuses to run as root. */
const otherUser = async (): Promise<User | undefined> => {
  if (process.getuid?.() !== 0) return undefined
  for (const name of ["postgres", "nobody"]) {
    const uid = await run("id", ["-u", name])
    const gid = await run("id", ["-g", name])
    if (uid.code === 0) return { name, uid: Number(uid.stdout), gid: Number(gid.stdout) }
  }
  return undefined
}

class Cluster {
  readonly programs: string
  readonly folder: string
  readonly #user: User | undefined

  private constructor(programs: string, folder: string, user: User | undefined) {
    this.programs = programs
    this.folder = folder
    this.#user = user
  }

  static async create(programs: string, workFolder: string): Promise<Cluster> {
    const folder = join(workFolder, "postgres")
    mkdirSync(folder)
    const user = await otherUser()
    if (user !== undefined) {
      chownSync(folder, user.uid, user.gid)
      chmodSync(workFolder, 0o711)
    }
    const cluster = new Cluster(programs, folder, user)
    const options = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C"]
    await runWell(join(programs, "initdb"), ["-D", join(folder, "data"), ...options], {
      cwd: folder,
      ...cluster.identity
    })
    return cluster
  }

  get identity(): { readonly uid?: number; readonly gid?: number } {
    return this.#user === undefined ? {} : { uid: this.#user.uid, gid: this.#user.gid }
  }

  async start(connections: number): Promise<{ child: ChildProcess; port: number }> {
    const port = await freePort()
    const settings = [
      "listen_addresses=127.0.0.1",
      `port=${port}`,
      "unix_socket_directories=",
      `max_connections=${connections + 20}`,
      "fsync=on",
      "synchronous_commit=on",
      "max_wal_size=8GB"
    ]
    const logFile = join(this.folder, "log")
    const child = spawnLogged(
      join(this.programs, "postgres"),
      ["-D", join(this.folder, "data"), ...settings.flatMap((setting) => ["-c", setting])],
      logFile,
      { cwd: this.folder, ...this.identity }
    )
    const reachable = async () => (await run(this.#psql, this.#query(port, "SELECT 1"))).code === 0
    await untilReady(child, logFile, reachable)
    return { child, port }
  }

  async ask(port: number, sql: string): Promise<string> {
    return (await runWell(this.#psql, this.#query(port, sql))).trim()
  }

  get #psql(): string {
    return join(this.programs, "psql")
  }

  #query(port: number, sql: string): ReadonlyArray<string> {
    return ["-h", "127.0.0.1", "-p", String(port), "-U", "postgres", "-XAtqc", sql]
  }
}

const startOn = async (cluster: Cluster, { connections }: Place): Promise<Running> => {
  const { child, port } = await cluster.start(connections)
  await cluster.ask(port, "DROP TABLE IF EXISTS bet")
  await cluster.ask(port, postgresTable)
  // Writes that earlier runs left behind must not slow this one.
  await cluster.ask(port, "CHECKPOINT")
  return {
    port,
    pid: pidOf(child),
    finish: async () => {
      const count = Number(await cluster.ask(port, "SELECT count(*) FROM bet"))
      const diskBytes = Number(await cluster.ask(port, "SELECT pg_total_relation_size('bet')"))
      // "Fast": it does not wait for its clients to disconnect.
      await endChild(child, "SIGINT")
      return { unit: "bets", count, diskBytes }
    }
  }
}

export const postgres = async (workFolder: string): Promise<Candidates> => {
  const programs = await findPrograms()
  if (programs === undefined) {
    return { contenders: [], remarks: ["PostgreSQL isn't installed (package postgresql)"] }
  }
  const version = (await runWell(join(programs, "postgres"), ["--version"])).trim()
  const cluster = await Cluster.create(programs, workFolder)
  const contender = (name: string, encoding: Encoding): Contender => ({
    name,
    encoding,
    start: (place) => startOn(cluster, place)
  })
  return {
    contenders: [
      contender("PostgreSQL, an INSERT per bet", postgresRows),
      contender("PostgreSQL, an INSERT of arrays", postgresArrays),
      contender("PostgreSQL, COPY", postgresCopy)
    ],
    remarks: [
      `${version}: fsync and synchronous_commit on, max_wal_size 8 GB, a row per bet in a table with a primary key, a transaction per chunk; `
      + "its bytes on disk are the table's, without its log"
    ]
  }
}
