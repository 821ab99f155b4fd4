/** The simulation can fail: it catches every mistake of Mutants.ts. */
import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { mutants } from "./Mutants.ts"

describe("the central, simulated with a planted mistake,", () => {
  it("breaks a promise, whichever mistake it is", async () => {
    const main = join(import.meta.dirname, "main.ts")
    const { stdout } = await promisify(execFile)(process.execPath, [main, "--mutants"])
      .catch((failure: { readonly stdout: string }) => failure)
    assert.match(stdout, new RegExp(`${mutants.length} mistakes planted, 0 not caught`), stdout)
    // It computes for half a minute; a busy machine takes many times that.
  }, 600_000)
})
