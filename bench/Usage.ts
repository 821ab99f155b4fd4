/** The CPU time, memory and disk space of processes, from /proc and the file system. */
import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { descendants } from "../test/support/Processes.ts"

/** Linux counts CPU time for user space in hundredths of a second, on every architecture that Node runs on. */
const ticksPerSecond = 100

const tree = (pid: number): ReadonlyArray<number> => [pid, ...descendants(pid)]

const contentOf = (path: string): string => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    // The process has ended.
    return ""
  }
}

/** CPU seconds of a process, of its descendants, and of those descendants that have ended and were waited for. */
export const cpuSeconds = (pid: number): number => {
  let ticks = 0
  for (const member of tree(pid)) {
    const stat = contentOf(`/proc/${member}/stat`)
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    // utime, stime, cutime, cstime; the slice begins at field 3.
    for (const field of [14, 15, 16, 17]) ticks += Number(fields[field - 3] ?? 0)
  }
  return ticks / ticksPerSecond
}

/** Memory of a process and its descendants; what several share is counted once (proportional set size). */
export const pssBytes = (pid: number): number => {
  let kilobytes = 0
  for (const member of tree(pid)) {
    const line = /^Pss:\s+(\d+) kB/m.exec(contentOf(`/proc/${member}/smaps_rollup`))
    kilobytes += Number(line?.[1] ?? 0)
  }
  return kilobytes * 1024
}

export const openDescriptors = (pid: number): number => {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch {
    return 0
  }
}

/** The size on disk of a file, or of everything in a folder. */
export const diskBytes = (path: string): number => {
  const status = statSync(path, { throwIfNoEntry: false })
  if (status === undefined) return 0
  if (!status.isDirectory()) return status.blocks * 512
  return readdirSync(path).reduce((sum, name) => sum + diskBytes(join(path, name)), 0)
}

/** The highest PSS of a process tree during a run. Reading it costs the server time, so it is read rarely. */
export class MemoryWatch implements Disposable {
  readonly #pid: number
  readonly #timer: NodeJS.Timeout | undefined
  peak = 0

  /** Without a period, it reads only on request. */
  constructor(pid: number, everyMs?: number) {
    this.#pid = pid
    this.#timer = everyMs === undefined ? undefined : setInterval(() => this.look(), everyMs)
  }

  look(): number {
    const bytes = pssBytes(this.#pid)
    this.peak = Math.max(this.peak, bytes)
    return bytes
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}
