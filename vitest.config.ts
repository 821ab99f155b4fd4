import { globSync } from "node:fs"
import { availableParallelism } from "node:os"
import { defineConfig } from "vitest/config"

/** Tests of a database that somebody names; without one they aren't tests. */
const isGiven = (file: string): boolean =>
  !file.endsWith("/GivenDatabase.test.ts") || process.env["LEDGER_SUITE_URL"] !== undefined

const files = globSync("test/**/*.test.ts", { cwd: import.meta.dirname }).filter(isGiven)

/** Tests that start processes or run for long: whole folders, and single files elsewhere. */
const system = [
  /^test\/(?:cluster|e2e|faults|fuzz|simulation)\//,
  /^test\/bench\.test\.ts$/,
  /^test\/parser\/parser\.test\.ts$/,
  /^test\/services\/admin\/Database\w+\.test\.ts$/,
  /^test\/services\/intake\/(?:ChunkParser|ParserPool)\.test\.ts$/,
  /^test\/services\/ledger\/(?:embedded\/SqliteLedger|postgres\/\w+)\.test\.ts$/,
  /^test\/services\/trial\/PostgresRun\.test\.ts$/
]
const isSystem = (file: string): boolean => system.some((pattern) => pattern.test(file))

export default defineConfig({
  test: {
    projects: [
      {
        extends: true,
        test: { name: "fast", include: files.filter((file) => !isSystem(file)) }
      },
      { extends: true, test: { name: "system", include: files.filter(isSystem) } }
    ],
    // The servers that tests start need cores too: the workers get half of them.
    maxWorkers: Math.max(2, Math.floor(availableParallelism() / 2)),
    pool: "forks",
    reporters: ["default", "./test/support/SkippedTests.ts"],
    // A worker loads each module once, and not once for each file. Tests restore what they change in
    // their process.
    isolate: false,
    // Where a file's tests are concurrent: enough to use the time in which a test waits, few enough
    // for each server to start in time.
    maxConcurrency: 3,
    // Every wait inside a test has a deadline of its own that says what didn't happen. These are the
    // last resort.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 10_000,
    allowOnly: false,
    passWithNoTests: false,
    unstubEnvs: true
  }
})
