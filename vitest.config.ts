import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // End-to-end tests start processes: a fork a file keeps them and their environment apart, and two
    // files at a time are as many as leave the servers under test a core to answer on.
    pool: "forks",
    fileParallelism: true,
    maxWorkers: 2,
    // Every wait inside a test has a deadline of its own that says what didn't happen; these are the last resort.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
    allowOnly: false,
    passWithNoTests: false,
    unstubEnvs: true
  }
})
