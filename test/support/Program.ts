/** The command line as a process that can be watched and signalled while it runs; killed when its test ends. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { projectFolder } from "./Central.ts"
import { patienceMs, waitUntil, within } from "./WaitUntil.ts"

/** Whole lines without time and level, where they have them. */
export const messagesOf = (output: string): ReadonlyArray<string> =>
  output.split("\n").slice(0, -1).map((line) => line.replace(/^[\d-]+ [\d:]+ [A-Z]+ +/, ""))

export class Program implements Disposable {
  readonly #child: ChildProcess
  readonly #closed: Promise<unknown>
  stdout = ""
  stderr = ""

  /** `environment` comes on top of the little that a process can't do without. */
  constructor(
    args: ReadonlyArray<string>,
    environment: Readonly<Record<string, string>> = {},
    input: "none" | "pipe" = "none"
  ) {
    this.#child = spawn(process.execPath, [join(projectFolder, "src/main.ts"), ...args], {
      cwd: projectFolder,
      env: { PATH: process.env["PATH"] ?? "", HOME: "/", TZ: "UTC", ...environment },
      stdio: [input === "pipe" ? "pipe" : "ignore", "pipe", "pipe"]
    })
    // A program that ended early reads no more of its input.
    this.#child.stdin?.on("error", () => {})
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => (this.stdout += text))
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.stderr += text))
    this.#closed = once(this.#child, "close")
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  async waitFor(text: string, deadlineMs = patienceMs): Promise<void> {
    await waitUntil(
      `"${text}" in the output\n${this.stdout}${this.stderr}`,
      () => this.stdout.includes(text) || this.stderr.includes(text),
      deadlineMs
    )
  }

  /** Writes to its standard input. */
  write(text: string): void {
    this.#child.stdin?.write(text)
  }

  /** The lines of its log and what it says at its end, without times and levels. */
  get messages(): ReadonlyArray<string> {
    return messagesOf(this.stderr)
  }

  endInput(): void {
    this.#child.stdin?.end()
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Its exit code; null when a signal ended it. */
  async ended(deadlineMs = patienceMs): Promise<number | null> {
    await within(`the end of the program\n${this.stdout}${this.stderr}`, this.#closed, deadlineMs)
    return this.#child.exitCode
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL")
  }
}
