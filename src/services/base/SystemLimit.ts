/** The resource limits that Linux enforces on this process. */
import { readFileSync } from "node:fs"

/** The soft limit; undefined where there is none, or where the system has no /proc. */
export const softLimit = (name: "Max open files" | "Max processes"): number | undefined => {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8")
    const soft = new RegExp(`^${name} +(\\d+)`, "m").exec(limits)?.[1]
    return soft === undefined ? undefined : Number(soft)
  } catch {
    return undefined
  }
}
