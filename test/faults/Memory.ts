/** The memory of processes: PSS, which divides shared pages among the processes that share them. */
import { readFileSync } from "node:fs"
import { setInterval } from "node:timers"

const mebibyte = 1024 * 1024

const pssOf = (pid: number): number => {
  try {
    const [, kilobytes] = /^Pss:\s+(\d+) kB/m.exec(
      readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")
    ) ?? []
    return Number(kilobytes ?? 0) / 1024
  } catch {
    // It has ended.
    return 0
  }
}

/** The sum for all these processes, in MiB. */
export const memoryOf = (pids: ReadonlyArray<number>): number =>
  pids.reduce((sum, pid) => sum + pssOf(pid), 0)

/** Reads the memory repeatedly, and keeps the highest value. */
export class MemoryWatch implements Disposable {
  readonly #timer: NodeJS.Timeout
  readonly #pids: () => ReadonlyArray<number>
  peak = 0

  constructor(pids: () => ReadonlyArray<number>) {
    this.#pids = pids
    this.#timer = setInterval(() => this.look(), 100)
    this.look()
  }

  look(): number {
    const now = memoryOf(this.#pids())
    this.peak = Math.max(this.peak, now)
    return now
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}

/** The settings that the formula in docs/ARCHITECTURE.md is of. */
export interface MemorySettings {
  readonly connections: {
    readonly max: number
    readonly frameBytesMax: number
    readonly frameBudgetBytes: number
  }
  readonly ledger: { readonly groupBytesMax: number }
  readonly parsers: { readonly processes: number; readonly memoryMb: number }
}

/** The formula, in MiB: a test compares it with the document, and others with what a server takes. */
export const memoryCeiling = ({ connections, ledger, parsers }: MemorySettings): number => {
  const transaction = Math.max(ledger.groupBytesMax, connections.frameBytesMax)
  const bytes = 2 * connections.frameBudgetBytes + connections.max * 128 * 1024 + 3 * transaction
  return 320 + bytes / mebibyte + 2 * parsers.processes * parsers.memoryMb
}
