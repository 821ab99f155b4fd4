/** The machine that the figures come from: without it they mean nothing. */
import { readFileSync, statfsSync } from "node:fs"
import { availableParallelism, cpus, release, totalmem } from "node:os"
import { join } from "node:path"
import { run } from "./Child.ts"

export interface Conditions {
  readonly date: string
  readonly commit: string
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes: number
  readonly kernel: string
  readonly fileSystem: string
  readonly node: string
  readonly loadGenerator: string
  readonly loadAverage: number
}

/** The load average of the last minute: other work on the machine. */
export const loadAverage = (): number => Number(readFileSync("/proc/loadavg", "utf8").split(" ")[0])

/** Linux's numbers for file systems that lose everything when the power fails. */
const memoryFileSystems: ReadonlySet<number> = new Set([0x01021994, 0x858458f6])

export const isInMemory = (folder: string): boolean =>
  memoryFileSystems.has(statfsSync(folder).type)

const fileSystemOf = async (folder: string): Promise<string> => {
  const { stdout } = await run("df", ["--output=fstype,source", folder])
  return stdout.trim().split("\n").at(-1)?.trim().replaceAll(/\s+/g, " on ") ?? "unknown"
}

const commit = async (): Promise<string> => {
  const options = { cwd: join(import.meta.dirname, "..") }
  const head = (await run("git", ["rev-parse", "--short", "HEAD"], options)).stdout.trim()
  const changed = (await run("git", ["status", "--porcelain", "src"], options)).stdout.trim()
  return head === "" ? "unknown" : `${head}${changed === "" ? "" : " with changes"}`
}

export const readConditions = async (folder: string, inC: boolean): Promise<Conditions> => ({
  date: new Date().toISOString(),
  commit: await commit(),
  cpu: cpus()[0]?.model.trim() ?? "unknown",
  cores: availableParallelism(),
  memoryBytes: totalmem(),
  kernel: release(),
  fileSystem: await fileSystemOf(folder),
  node: process.version,
  loadGenerator: inC ? "in C" : "in Node (no C compiler: it may be the limit)",
  loadAverage: loadAverage()
})

export const describeConditions = (conditions: Conditions): string =>
  `${conditions.cores} cores of ${conditions.cpu}, shared by the load generator (${conditions.loadGenerator}); `
  + `${
    Math.round(conditions.memoryBytes / 2 ** 30)
  } GB; Linux ${conditions.kernel}; ${conditions.fileSystem}; `
  + `Node ${conditions.node}; commit ${conditions.commit}; load average ${
    conditions.loadAverage.toFixed(2)
  }`
