/** Processes that the bench starts: none outlives it, and one that ends too early says why. */
import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process"
import { once } from "node:events"
import { closeSync, openSync, readFileSync } from "node:fs"
import { createServer } from "node:net"
import { waitUntil, within } from "../test/support/WaitUntil.ts"

const started = new Set<ChildProcess>()
process.once("exit", () => {
  for (const child of started) child.kill("SIGKILL")
})
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => process.exit(130))
}

/** Spawns; it is killed when the bench ends. */
export const spawnChild = (
  file: string,
  args: ReadonlyArray<string>,
  options: SpawnOptions
): ChildProcess => {
  const child = spawn(file, args, options)
  // Whoever waits for the program's work notices that the program is missing.
  child.on("error", () => started.delete(child))
  child.once("exit", () => started.delete(child))
  started.add(child)
  return child
}

/** Spawns a program with its output in a file, which {@link untilReady} shows when the program fails. */
export const spawnLogged = (
  file: string,
  args: ReadonlyArray<string>,
  logFile: string,
  options: Omit<SpawnOptions, "stdio"> = {}
): ChildProcess => {
  const log = openSync(logFile, "w")
  const child = spawnChild(file, args, { ...options, stdio: ["ignore", log, log] })
  closeSync(log)
  return child
}

const isRunning = (child: ChildProcess): boolean =>
  child.pid !== undefined && child.exitCode === null && child.signalCode === null

export const pidOf = (child: ChildProcess): number => {
  if (child.pid === undefined) throw new Error(`${child.spawnfile} can't be started`)
  return child.pid
}

/** Sends a signal and waits for the end; kills a process that does not end in time. */
export const endChild = async (
  child: ChildProcess,
  signal: NodeJS.Signals = "SIGTERM",
  deadlineMs = 60_000
): Promise<void> => {
  if (!isRunning(child)) return
  const ended = once(child, "exit")
  child.kill(signal)
  try {
    await within(`the end of ${child.spawnfile}`, ended, deadlineMs)
  } finally {
    child.kill("SIGKILL")
  }
}

/** Polls until the child is as wanted; its end, or the deadline, is a failure that shows what it wrote. */
export const untilReady = <A>(
  child: ChildProcess,
  logFile: string,
  probe: () => A | false | undefined | Promise<A | false | undefined>,
  deadlineMs = 60_000
): Promise<A> => {
  const log = () => readFileSync(logFile, "utf8").slice(-2000)
  return waitUntil(`${child.spawnfile} ready`, () => {
    if (!isRunning(child)) throw new Error(`${child.spawnfile} has ended:\n${log()}`)
    return probe()
  }, deadlineMs).catch((cause: unknown) => {
    child.kill("SIGKILL")
    throw new Error(`${child.spawnfile}: ${String(cause)}\n${log()}`, { cause })
  })
}

export interface Output {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end. */
export const run = async (
  file: string,
  args: ReadonlyArray<string>,
  options: SpawnOptions = {}
): Promise<Output> => {
  const child = spawnChild(file, args, { ...options, stdio: ["ignore", "pipe", "pipe"] })
  let stdout = ""
  let stderr = ""
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text))
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text))
  const ended = new Promise<void>((resolve) => {
    child.once("close", () => resolve())
    child.once("error", () => resolve())
  })
  await ended
  return { code: child.exitCode, stdout, stderr }
}

/** As {@link run}, but a nonzero exit code is a failure. */
export const runWell = async (
  file: string,
  args: ReadonlyArray<string>,
  options: SpawnOptions = {}
): Promise<string> => {
  const { code, stderr, stdout } = await run(file, args, options)
  if (code !== 0) {
    throw new Error(`${file} ${args[0] ?? ""}: ${stderr.trim() || `exit code ${code}`}`)
  }
  return stdout
}

/** Where the program is, or undefined. */
export const which = async (program: string): Promise<string | undefined> => {
  const { code, stdout } = await run("sh", ["-c", `command -v ${program}`])
  return code === 0 ? stdout.trim() : undefined
}

/** A port that was free a moment ago, for programs that can't choose one themselves. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  if (address === null || typeof address === "string") throw new Error("no free port")
  return address.port
}
