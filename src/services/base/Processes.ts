/**
 * Processes and threads: Linux counts both, all of a user together, against one limit (`ulimit -u`). Node meets its end
 * there badly: it aborts without a word where it can't have its threads for files, and hangs where it can't have those
 * of its engine, which is how a parser would start. So a start with too few is refused, with the numbers.
 */
import { Effect, Schema } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { processesNeeded } from "../../domain/Limits.ts"

/** There are fewer left than the server needs. */
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

/** CAP_SYS_ADMIN and CAP_SYS_RESOURCE: for who has one of them the limit isn't enforced, nor for root without. */
const exempt = (1n << 21n) | (1n << 24n)

const statusOf = (process: string): string => {
  try {
    return readFileSync(`/proc/${process}/status`, "utf8")
  } catch {
    // It has ended.
    return ""
  }
}

const number = (text: string, pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? 0)
const userOf = (status: string): number => number(status, /^Uid:\s+(\d+)/m)
const threadsOf = (status: string): number => number(status, /^Threads:\s+(\d+)/m)

/** What processes of this user other than this one have taken, as far as they are seen from here. */
const takenByOthers = (user: number): number =>
  readdirSync("/proc").filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .map(statusOf).filter((status) => status !== "" && userOf(status) === user)
    .reduce((threads, status) => threads + threadsOf(status), 0)

/** The limit in force; undefined where there is none, or the system doesn't tell in this way. */
const limitInForce = (status: string): number | undefined => {
  const held = BigInt(`0x${/^CapEff:\s+([0-9a-f]+)/m.exec(status)?.[1] ?? "0"}`)
  if (userOf(status) === 0 || (held & exempt) !== 0n) return undefined
  const limits = readFileSync("/proc/self/limits", "utf8")
  const soft = /^Max processes +(\d+)/m.exec(limits)?.[1]
  return soft === undefined ? undefined : Number(soft)
}

const tooFew = (parsers: number): TooFewProcesses | undefined => {
  try {
    const status = statusOf("self")
    const limit = limitInForce(status)
    if (limit === undefined) return undefined
    const needed = processesNeeded.server + processesNeeded.perParser * parsers
    const taken = takenByOthers(userOf(status))
    return limit - taken < needed
      ? new TooFewProcesses({ needed, limit, taken, parsers })
      : undefined
  } catch {
    // No /proc: what can't be had is told when it is missed.
    return undefined
  }
}

/**
 * Fails where the server, with so many parsers, can't have the processes and threads that it begins with. It reads no
 * file in a thread, so that it can be asked before Node has those.
 */
export const requireProcesses = (parsers: number): Effect.Effect<void, TooFewProcesses> =>
  Effect.suspend(() => {
    const problem = tooFew(parsers)
    return problem === undefined ? Effect.void : Effect.fail(problem)
  })

/** What the system says where no process or thread is to be had, in words that name what to do. */
export const startProblem = (error: unknown): string => {
  const message = error instanceof Error ? error.message : String(error)
  return message.includes("EAGAIN")
    ? `${message}: no process or thread is left; raise ulimit -u, systemd's TasksMax or the container's pids_limit`
    : message
}
