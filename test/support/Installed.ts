/**
 * Programs that tests need and npm doesn't bring. A test whose program isn't here is skipped, and named at the end of the
 * run with Debian's package (`SkippedTests.ts`); where CI is set it fails instead.
 */
import { accessSync, constants, globSync } from "node:fs"
import { delimiter, join } from "node:path"

const packages = {
  haproxy: "haproxy",
  openssl: "openssl",
  pgbench: "postgresql",
  postgres: "postgresql",
  psql: "postgresql-client"
} as const
type ProgramName = keyof typeof packages

const isProgram = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Debian keeps a server's programs beside each other in a folder for each version. The newest is first. */
const postgresFolders = globSync("/usr/lib/postgresql/*/bin").toSorted((one, other) =>
  other.localeCompare(one, "en", { numeric: true })
)

/** haproxy is where users don't look. */
const folders = [
  ...postgresFolders,
  ...(process.env["PATH"] ?? "").split(delimiter),
  "/usr/local/sbin",
  "/usr/sbin"
]

const find = (name: ProgramName): string | undefined =>
  folders.map((folder) => join(folder, name)).find(isProgram)

/** Why tests that need the program are skipped, for their name; undefined where they run. */
export const missing = (name: ProgramName): string | undefined =>
  find(name) !== undefined || process.env["CI"] === "true"
    ? undefined
    : `${name} is not installed: Debian's package ${packages[name]} has it`

/** Its path. */
export const installed = (name: ProgramName): string => {
  const path = find(name)
  if (path === undefined) throw new Error(`${name} is missing: apt-get install ${packages[name]}`)
  return path
}
