/** Runs processes whose calls on a ledger's files are recorded, and which can be killed at any of them: see FileCalls.c. */
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { FaultyMachine } from "./FaultyMachine.ts"

export interface FileCall {
  readonly name: string
  readonly path: string
  readonly offset: number | undefined
}

export interface WatchedRun {
  readonly code: number | null
  readonly output: string
  readonly calls: ReadonlyArray<FileCall>
}

const runDeadlineMs = 60_000

export class FileCalls implements Disposable {
  /** Why there can be none here; undefined when there can. */
  static readonly unavailable = FaultyMachine.unavailable

  readonly #folder = mkdtempSync(join(tmpdir(), "loteria-calls-"))
  /** For the ledger: what happens in it is written down. */
  readonly folder = join(this.#folder, "files")

  constructor() {
    mkdirSync(this.folder)
    const source = join(import.meta.dirname, "FileCalls.c")
    execFileSync("cc", ["-O1", "-shared", "-fPIC", "-o", this.#library, source, "-ldl"])
  }

  get #library(): string {
    return join(this.#folder, "calls.so")
  }

  /** Where the calls are written down; a process that looks at its own finds this in CALLS. */
  get journal(): string {
    return join(this.#folder, "journal")
  }

  /** Runs LedgerProcess.ts to its end, which is its death when it is killed before that call. */
  run(
    args: ReadonlyArray<string>,
    faults: { readonly killAt?: number; readonly loseCommit?: string } = {}
  ): WatchedRun {
    rmSync(this.journal, { force: true })
    const script = join(import.meta.dirname, "../support/LedgerProcess.ts")
    const { status, stderr, stdout } = spawnSync(process.execPath, [script, ...args], {
      encoding: "utf8",
      timeout: runDeadlineMs,
      env: {
        ...process.env,
        LD_PRELOAD: this.#library,
        CALLS: this.journal,
        CALLS_OF: `${basename(this.#folder)}/files`,
        ...faults.killAt === undefined ? {} : { KILL_AT: String(faults.killAt) },
        ...faults.loseCommit === undefined ? {} : { LOSE_COMMIT: faults.loseCommit }
      }
    })
    return { code: status, output: stdout + stderr, calls: this.#calls() }
  }

  #calls(): ReadonlyArray<FileCall> {
    if (!existsSync(this.journal)) return []
    return readFileSync(this.journal, "utf8").trim().split("\n").map((line) => {
      const [name = "", path = "", offset] = line.split(" ")
      return { name, path, offset: offset === undefined ? undefined : Number(offset) }
    })
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true })
  }
}
