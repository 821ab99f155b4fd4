/**
 * Processes and threads. Linux counts both, all of a user together, against one limit (`ulimit -u`). At that limit Node
 * aborts without a message when it cannot start its threads for files, and a parser hangs when it cannot start those of
 * its engine. So the server refuses to start with too few, and names the numbers.
 */
import { Effect, Schema } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { processesNeeded } from "../../domain/Limits.ts"
import { softLimit } from "./SystemLimit.ts"

/** Fewer processes and threads are left than the server needs. */
export class TooFewProcesses extends Schema.TaggedError<TooFewProcesses>()("TooFewProcesses", {
  needed: Schema.Int,
  limit: Schema.Int,
  taken: Schema.Int,
  parsers: Schema.Int
}) {
  override get message(): string {
    const { limit, needed, parsers, taken } = this
    return `too few processes and threads: ${needed} are needed, and the limit of this user is ${limit}`
      + (taken === 0 ? "" : `, of which others have taken ${taken}`)
      + `; raise ulimit -u (with systemd LimitNPROC) to ${needed + taken} or more`
      + (parsers > 1 ? ", or lower parsers.processes" : "")
  }
}

/** CAP_SYS_ADMIN and CAP_SYS_RESOURCE. A process with either is exempt from the limit; so is root. */
const exemptingCapabilities = (1n << 21n) | (1n << 24n)

const statusOf = (process: string): string => {
  try {
    return readFileSync(`/proc/${process}/status`, "utf8")
  } catch {
    // The process has ended.
    return ""
  }
}

const number = (text: string, pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? 0)
const userOf = (status: string): number => number(status, /^Uid:\s+(\d+)/m)
const threadsOf = (status: string): number => number(status, /^Threads:\s+(\d+)/m)

/** The threads of this user's other processes, as far as this process can see them. */
const takenByOthers = (user: number): number =>
  readdirSync("/proc").filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .map(statusOf).filter((status) => status !== "" && userOf(status) === user)
    .reduce((threads, status) => threads + threadsOf(status), 0)

/** The limit that is enforced on this process; undefined where none is. */
const enforcedLimit = (status: string): number | undefined => {
  const held = BigInt(`0x${/^CapEff:\s+([0-9a-f]+)/m.exec(status)?.[1] ?? "0"}`)
  return userOf(status) === 0 || (held & exemptingCapabilities) !== 0n
    ? undefined
    : softLimit("Max processes")
}

const tooFew = (parsers: number): TooFewProcesses | undefined => {
  try {
    const status = statusOf("self")
    const limit = enforcedLimit(status)
    if (limit === undefined) return undefined
    const needed = processesNeeded.server + processesNeeded.perParser * parsers
    const taken = takenByOthers(userOf(status))
    return limit - taken < needed
      ? new TooFewProcesses({ needed, limit, taken, parsers })
      : undefined
  } catch {
    // Without /proc a lack is reported when a process or thread cannot be started.
    return undefined
  }
}

/**
 * Fails when too few processes and threads are left for a server with this number of parsers. It reads files
 * synchronously, without Node's threads, which may be those that are missing.
 */
export const requireProcesses = (parsers: number): Effect.Effect<void, TooFewProcesses> =>
  Effect.suspend(() => {
    const problem = tooFew(parsers)
    return problem === undefined ? Effect.void : Effect.fail(problem)
  })

/** Why a process or thread could not be started; at a limit, with what to do. */
export const startProblem = (error: unknown): string => {
  const message = error instanceof Error ? error.message : String(error)
  return message.includes("EAGAIN")
    ? `${message}: no process or thread is left; raise ulimit -u, systemd's TasksMax or the container's pids_limit`
    : message
}
