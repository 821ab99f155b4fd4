/** Processes, as /proc shows them: their descendants, and whether they still run. */
import { readdirSync, readFileSync } from "node:fs"
import { waitUntil } from "./WaitUntil.ts"

interface Status {
  readonly pid: number
  readonly parent: number
  readonly state: string
}

/** `pid (name) state ppid …`; a name may hold spaces and parentheses. */
const statusOf = (pid: number): Status | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8")
    const [state = "", parent = ""] = text.slice(text.lastIndexOf(")") + 2).split(" ")
    return { pid, parent: Number(parent), state }
  } catch {
    return undefined
  }
}

/** A zombie has ended; whether its parent has noticed is another matter. */
export const isAlive = (pid: number): boolean => {
  const status = statusOf(pid)
  return status !== undefined && status.state !== "Z" && status.state !== "X"
}

/** The process's children, their children, and so on. */
export const descendants = (pid: number): ReadonlyArray<number> => {
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name))
    .map((name) => statusOf(Number(name))).filter((status) => status !== undefined)
  const found = new Set([pid])
  for (let before = 0; before < found.size;) {
    before = found.size
    for (const status of all) if (found.has(status.parent)) found.add(status.pid)
  }
  found.delete(pid)
  return [...found].filter(isAlive)
}

/** Gives the processes some time to end; a child may notice only then that its parent is gone. */
export const waitUntilGone = async (
  pids: ReadonlyArray<number>,
  deadlineMs = 3000
): Promise<void> => {
  await waitUntil(`processes ${pids.join(", ")} gone`, () => !pids.some(isAlive), deadlineMs)
}
