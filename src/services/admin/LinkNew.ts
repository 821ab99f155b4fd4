/** Gives a file a name without ever taking that name from another file. */
import * as fs from "node:fs"

/** File systems without hard links answer with one of these. */
const noLinks: ReadonlySet<unknown> = new Set([
  "EPERM",
  "ENOTSUP",
  "EOPNOTSUPP",
  "ENOSYS",
  "EMLINK"
])

/**
 * Adds the name to the file. False when another file has the name. Where there are no hard links the file is renamed,
 * and another program that takes the name in that very moment loses its file.
 */
export const linkNew = (file: string, name: string): boolean => {
  try {
    fs.linkSync(file, name)
    return true
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined
    if (code === "EEXIST") return fs.statSync(file).ino === fs.statSync(name).ino
    if (!noLinks.has(code)) throw error
    if (fs.existsSync(name)) return false
    fs.renameSync(file, name)
    return true
  }
}
