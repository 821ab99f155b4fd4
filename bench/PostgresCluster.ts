/**
 * A PostgreSQL that is installed here, in a cluster of its own that is made once, as another user than root. Its promise
 * is ours: fsync and synchronous_commit are on.
 */
import type { ChildProcess } from "node:child_process"
import { chmodSync, chownSync, globSync, mkdirSync, realpathSync } from "node:fs"
import { dirname, join } from "node:path"
import { freePort, run, runWell, spawnLogged, untilReady, which } from "./Child.ts"

/** Debian keeps them outside PATH, in a folder for each version. */
export const findPrograms = async (): Promise<string | undefined> => {
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

export class Cluster {
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

  async ask(port: number, sql: string, database = "postgres"): Promise<string> {
    return (await runWell(this.#psql, this.#query(port, sql, database))).trim()
  }

  get #psql(): string {
    return join(this.programs, "psql")
  }

  #query(port: number, sql: string, database = "postgres"): ReadonlyArray<string> {
    return ["-h", "127.0.0.1", "-p", String(port), "-U", "postgres", "-d", database, "-XAtqc", sql]
  }
}
