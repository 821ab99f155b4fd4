/** A real HAProxy in front of servers on this machine, with ops/haproxy.cfg but for names and ports. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Central, projectFolder } from "./Central.ts"
import { freePortPair } from "./FreePorts.ts"
import { installed } from "./Installed.ts"
import { within } from "./WaitUntil.ts"

type Ports = Pick<Central, "betsPort" | "consultPort" | "operationsPort">

export const haproxyConfiguration = (): string =>
  readFileSync(join(projectFolder, "ops/haproxy.cfg"), "utf8")

/** Fails where the file names something that isn't replaced. */
const configurationFor = (servers: ReadonlyArray<Ports>, port: number): string => {
  const placed = servers.reduce(
    (text, { betsPort, consultPort, operationsPort }, index) =>
      text
        .replace(
          `server-${index + 1}:12345\n`,
          `127.0.0.1:${betsPort} port ${operationsPort}\n`
        )
        .replace(
          `server-${index + 1}:12346\n`,
          `127.0.0.1:${consultPort} port ${operationsPort}\n`
        ),
    haproxyConfiguration()
      .replace("bind :12345\n", `bind 127.0.0.1:${port}\n`)
      .replace("bind :12346\n", `bind 127.0.0.1:${port + 1}\n`)
  )
  const left = /server-\d:\d+|bind :/.exec(placed)
  if (left !== null) throw new Error(`${left[0]} stands for nothing here`)
  return placed
}

export class Haproxy implements AsyncDisposable {
  readonly betsPort: number
  readonly consultPort: number
  readonly #folder: string
  readonly #child: ChildProcess
  #log = ""

  private constructor(folder: string, port: number) {
    this.#folder = folder
    this.betsPort = port
    this.consultPort = port + 1
    this.#child = spawn(installed("haproxy"), ["-f", join(folder, "haproxy.cfg")], {
      stdio: ["ignore", "pipe", "pipe"]
    })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => (this.#log += text))
    }
  }

  /** As many servers as the file names. */
  static async start(servers: ReadonlyArray<Ports>): Promise<Haproxy> {
    const folder = mkdtempSync(join(tmpdir(), "loteria-haproxy-"))
    const port = await freePortPair()
    writeFileSync(join(folder, "haproxy.cfg"), configurationFor(servers, port))
    return new Haproxy(folder, port)
  }

  /** What it says: its servers' states, and connections that went wrong. */
  get log(): string {
    return this.#log
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const closed = once(this.#child, "close")
      this.#child.kill("SIGTERM")
      await within(`the end of HAProxy\n${this.#log}`, closed)
    }
    rmSync(this.#folder, { recursive: true })
  }
}
