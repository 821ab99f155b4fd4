/**
 * A central under test: the real server in a process of its own, on free ports, with its ledger in a temporary folder.
 * None of the product's code runs in here. It can be stopped, killed and started again on the same ledger. When
 * its test ends, its process is killed and its folder is removed.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { descendants } from "./Processes.ts"
import { patienceMs, waitUntil, within } from "./WaitUntil.ts"

export const projectFolder = join(import.meta.dirname, "../..")
const mainFile = join(projectFolder, "src/main.ts")

export interface CentralOptions {
  /** In the field's notation: 5 means 1 to 5. */
  readonly agencies?: number | string
  /** Merged into config.yaml, section by section. */
  readonly settings?: Readonly<Record<string, unknown>>
  readonly environment?: Readonly<Record<string, string>>
  /** Where the ledger is, when the settings put it elsewhere than into the central's folder. */
  readonly ledgerPath?: string
  /** Given to Node before the program. */
  readonly nodeArguments?: ReadonlyArray<string>
  /** A program that becomes the server's, such as `prlimit` with its arguments. */
  readonly through?: ReadonlyArray<string>
}

export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** From the signal to the end of the process. */
  readonly ms: number
}

/** The minimum that a process needs: a variable of the machine must not reach the configuration. */
const bareEnvironment = {
  PATH: process.env["PATH"] ?? "",
  HOME: process.env["HOME"] ?? "/",
  TZ: "UTC"
}

const merged = (
  defaults: Readonly<Record<string, unknown>>,
  settings: Readonly<Record<string, unknown>>
): Record<string, unknown> => {
  const result = { ...defaults }
  for (const [key, value] of Object.entries(settings)) {
    const current = result[key]
    result[key] = typeof current === "object" && typeof value === "object"
      ? { ...current, ...value }
      : value
  }
  return result
}

/** A test file that ends early (a timeout, a crash) must not leave servers behind. */
const started = new Set<ChildProcess>()
process.once("exit", () => {
  for (const child of started) child.kill("SIGKILL")
})

/** Runs the command line to its end. */
export const runMain = async (
  args: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>> = {},
  deadlineMs = patienceMs
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> => {
  const child = spawn(process.execPath, [mainFile, ...args], {
    cwd: projectFolder,
    env: { ...bareEnvironment, ...environment },
    stdio: ["ignore", "pipe", "pipe"]
  })
  started.add(child)
  child.once("exit", () => started.delete(child))
  let stdout = ""
  let stderr = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text))
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
  try {
    await within(`the end of ${args.join(" ")}`, once(child, "close"), deadlineMs)
  } finally {
    child.kill("SIGKILL")
  }
  return { code: child.exitCode, stdout, stderr }
}

/** A log line without its time and level, in the text format. */
const asText = (line: string): string => {
  if (!line.startsWith("{")) return line.replace(/^\S+ \S+ [A-Z]+ +/, "")
  const { level: _level, time: _time, ...pairs }: Record<string, unknown> = JSON.parse(line)
  return Object.entries(pairs).map(([name, value]) => `${name}: ${String(value)}`).join(" | ")
}

export class Central implements AsyncDisposable {
  readonly folder: string
  readonly configPath: string
  readonly ledgerPath: string
  readonly #environment: Readonly<Record<string, string>>
  readonly #command: readonly [string, ...ReadonlyArray<string>]
  #process: ChildProcess | undefined
  #output = ""
  #errors = ""

  private constructor(folder: string, options: CentralOptions) {
    this.folder = folder
    this.configPath = join(folder, "config.yaml")
    this.ledgerPath = options.ledgerPath ?? join(folder, "ledger.sqlite")
    this.#environment = options.environment ?? {}
    const [program = process.execPath, ...rest] = [
      ...(options.through ?? []),
      process.execPath,
      ...(options.nodeArguments ?? [])
    ]
    this.#command = [program, ...rest]
  }

  /** Prepares a folder with a configuration; nothing runs yet. */
  static async prepare(options: CentralOptions = {}): Promise<Central> {
    const central = new Central(await mkdtemp(join(tmpdir(), "loteria-")), options)
    await central.configure(options)
    return central
  }

  /** Prepares and starts. */
  static async start(options: CentralOptions = {}): Promise<Central> {
    const central = await Central.prepare(options)
    try {
      await central.start()
    } catch (error) {
      await central[Symbol.asyncDispose]()
      throw error
    }
    return central
  }

  /** Writes another configuration, for the next start. */
  async configure(options: CentralOptions): Promise<void> {
    const configuration = merged({
      lottery: { agencies: options.agencies ?? 5 },
      bets: { host: "127.0.0.1", port: 0 },
      consult: { host: "127.0.0.1", port: 0 },
      operations: { port: 0 },
      ledger: { path: this.ledgerPath },
      parsers: { processes: 1 }
    }, options.settings ?? {})
    // JSON is YAML.
    await writeFile(this.configPath, JSON.stringify(configuration, null, 2))
  }

  /** Starts the server and waits until it is ready. */
  async start(deadlineMs = patienceMs): Promise<void> {
    await this.spawn()
    await this.waitForLine("action: ready | result: success", deadlineMs)
  }

  /** Starts the server without waiting for anything. */
  spawn(): Promise<void> {
    this.#output = ""
    this.#errors = ""
    const [program, ...before] = this.#command
    const child = spawn(program, [...before, mainFile, "serve", "--config", this.configPath], {
      cwd: this.folder,
      env: { ...bareEnvironment, ...this.#environment },
      stdio: ["ignore", "pipe", "pipe"]
    })
    child.stdout.setEncoding("utf8").on("data", (text: string) => (this.#output += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (this.#errors += text))
    started.add(child)
    child.once("exit", () => started.delete(child))
    this.#process = child
    return Promise.resolve()
  }

  get pid(): number {
    const pid = this.#process?.pid
    if (pid === undefined) throw new Error("the central was not started")
    return pid
  }

  get running(): boolean {
    const child = this.#process
    return child !== undefined && child.exitCode === null && child.signalCode === null
  }

  /** Everything logged since the last start. */
  get log(): string {
    return this.#output
  }

  get errors(): string {
    return this.#errors
  }

  /** Whoever reads the log stands still, or goes on. */
  readLog(reads: boolean): void {
    if (reads) this.#process?.stdout?.resume()
    else this.#process?.stdout?.pause()
  }

  /** The log lines, without time and level, that begin so. */
  lines(beginning: string): ReadonlyArray<string> {
    return this.#output.split("\n").slice(0, -1).map(asText)
      .filter((line) => line.startsWith(beginning))
  }

  async waitForLine(beginning: string, deadlineMs = patienceMs): Promise<string> {
    return this.waitUntil(`a log line "${beginning}"`, () => {
      const line = this.lines(beginning)[0]
      if (line === undefined && !this.running) throw new Error("the central has ended")
      return line
    }, deadlineMs)
  }

  /** As {@link waitUntil}; a failure shows the log. */
  async waitUntil<A>(
    what: string,
    probe: () => A | false | undefined | Promise<A | false | undefined>,
    deadlineMs = patienceMs
  ): Promise<A> {
    try {
      return await waitUntil(what, probe, deadlineMs)
    } catch (error) {
      const log = `${this.#output.slice(-4000)}${this.#errors.slice(-4000)}`
      throw new Error(`${what}: ${String(error)}; the log ends:\n${log}`, { cause: error })
    }
  }

  get betsPort(): number {
    return this.#port("bets_listener")
  }

  get consultPort(): number {
    return this.#port("consult_listener")
  }

  get operationsPort(): number {
    return this.#port("ops_listener")
  }

  get children(): ReadonlyArray<number> {
    return descendants(this.pid)
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal)
  }

  /** Waits for the process to end by itself, or of a signal sent before. */
  async ended(deadlineMs = patienceMs): Promise<Ending> {
    const child = this.#process
    const since = performance.now()
    if (child === undefined) throw new Error("the central was not started")
    // "close" comes after the last output.
    if (this.running || child.stdout?.closed === false) {
      await within("the end of the central", once(child, "close"), deadlineMs)
    }
    return { code: child.exitCode, signal: child.signalCode, ms: performance.now() - since }
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Ending> {
    this.signal(signal)
    return this.ended()
  }

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    this.signal("SIGKILL")
    await this.ended()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.running) await this.kill()
    await rm(this.folder, { recursive: true, force: true })
  }

  #port(listener: string): number {
    const beginning = `action: listen | result: success | resource: ${listener} | port: `
    const line = this.lines(beginning)[0]
    if (line === undefined) throw new Error(`${listener} doesn't listen`)
    return Number(line.slice(beginning.length).split(" ")[0])
  }
}
