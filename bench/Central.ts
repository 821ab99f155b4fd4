/**
 * The central as its users run it: the program of this checkout with its own config.yaml, durable, at the default log
 * level, its log in a file. Only ports, roster and the place of the ledger are set, by the variables for that.
 */
import type { ChildProcess } from "node:child_process"
import { copyFileSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { endChild, pidOf, spawnLogged, untilReady } from "./Child.ts"
import type { Contender, Place, Running } from "./Contender.ts"
import { lottery } from "./Requests.ts"
import { diskBytes } from "./Usage.ts"

const projectFolder = join(import.meta.dirname, "..")

export class Central {
  readonly #child: ChildProcess
  readonly #logFile: string
  readonly #folder: string
  /** From the start of the process until it says that it is ready. */
  readonly startMs: number

  private constructor(child: ChildProcess, folder: string, logFile: string, startMs: number) {
    this.#child = child
    this.#folder = folder
    this.#logFile = logFile
    this.startMs = startMs
  }

  /** Starts on the ledger in the folder or in the database, or on a new one. */
  static async start(folder: string, agencies: number, url?: string): Promise<Central> {
    copyFileSync(join(projectFolder, "config.yaml"), join(folder, "config.yaml"))
    const logFile = join(folder, "log")
    const since = performance.now()
    const program = [join(projectFolder, "src/main.ts"), "serve"]
    const child = spawnLogged(process.execPath, program, logFile, {
      cwd: folder,
      env: {
        PATH: process.env["PATH"] ?? "",
        HOME: process.env["HOME"] ?? "/",
        SERVER_PORT: "0",
        CONSULT_SERVER_PORT: "0",
        OPS_PORT: "0",
        AGENCIES: String(agencies),
        ...(url === undefined ? { LEDGER_PATH: "ledger.sqlite" } : { LEDGER_URL: url })
      }
    })
    await untilReady(
      child,
      logFile,
      () => readFileSync(logFile, "utf8").includes("action: ready | result: success")
    )
    return new Central(child, folder, logFile, performance.now() - since)
  }

  get pid(): number {
    return pidOf(this.#child)
  }

  get betsPort(): number {
    return this.#port("bets_listener")
  }

  get consultPort(): number {
    return this.#port("consult_listener")
  }

  async stop(): Promise<void> {
    await endChild(this.#child)
    if (this.#child.exitCode !== 0) {
      throw new Error(`the central ended with ${this.#child.exitCode ?? this.#child.signalCode}`)
    }
  }

  async kill(): Promise<void> {
    await endChild(this.#child, "SIGKILL")
  }

  /** Counts the bets in the file, with a reader of its own. */
  storedBets(): number {
    const ledger = new DatabaseSync(join(this.#folder, "ledger.sqlite"), { readOnly: true })
    const row = ledger.prepare("SELECT coalesce(sum(bets), 0) AS bets FROM chunk").get()
    ledger.close()
    return Number(row?.["bets"])
  }

  /** Throws unless exactly the acknowledged bets are stored. Where some have no answer, more may be stored. */
  checkStored(acknowledged: number, inDoubt = false): void {
    const stored = this.storedBets()
    if (inDoubt ? stored >= acknowledged : stored === acknowledged) return
    throw new Error(`LOST: ${acknowledged} bets acknowledged, ${stored} stored`)
  }

  diskBytes(): number {
    return ["", "-wal", "-shm"].reduce(
      (sum, suffix) => sum + diskBytes(join(this.#folder, `ledger.sqlite${suffix}`)),
      0
    )
  }

  #port(resource: string): number {
    const start = readFileSync(this.#logFile, "utf8").slice(0, 8192)
    return Number(new RegExp(`resource: ${resource} \\| port: (\\d+)`).exec(start)?.[1])
  }
}

export const central: Contender = {
  name: "the central",
  encoding: lottery,
  start: async ({ connections, folder }: Place): Promise<Running> => {
    const server = await Central.start(folder, connections)
    return {
      port: server.betsPort,
      pid: server.pid,
      finish: async () => {
        await server.stop()
        return { unit: "bets", count: server.storedBets(), diskBytes: server.diskBytes() }
      }
    }
  }
}
