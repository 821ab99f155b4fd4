/**
 * A container without a container engine, as root on Linux: a process as PID 1 of its own PID namespace, in a root folder
 * that nobody can write to, as a plain user without a way to more rights.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { dirname, join } from "node:path"
import { descendants } from "./Processes.ts"
import { patienceMs, waitUntil, within } from "./WaitUntil.ts"

/** Why containers can't be had here; undefined when they can. */
export const obstacle = (): string | undefined => {
  if (process.platform !== "linux") return "namespaces are Linux's"
  if (process.getuid?.() !== 0) return "only root may mount and become another user"
  const tried = spawnSync("unshare", ["--mount", "--pid", "--fork", "--mount-proc", "true"])
  return tried.status === 0 ? undefined : "unshare is not permitted"
}

export const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`

/** Runs to the end; the error of a failure shows its output. */
export const run = (command: string, args: ReadonlyArray<string>): string => {
  const { error, status, stderr, stdout } = spawnSync(command, args, { encoding: "utf8" })
  if (error !== undefined) throw error
  if (status !== 0) {
    throw new Error(`${command} ${args.join(" ")}: exit code ${status}\n${stdout}${stderr}`)
  }
  return stdout
}

/** What a Dockerfile sets for the commands after it. */
export interface State {
  user: string
  folder: string
  environment: Record<string, string>
}

const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export const nodePath = "/usr/local/bin/node"

const variables = (environment: Readonly<Record<string, string>>): ReadonlyArray<string> =>
  Object.entries({ PATH: path, ...environment }).map(([name, value]) => `${name}=${value}`)

const withoutNewRights = ["setpriv", "--clear-groups", "--no-new-privs"]

/** The words after which a command has mounts and processes of its own. */
export const separate = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL"]

/** The words after which a command runs in the root folder as the state says; PID, mounts and capabilities as they are. */
export const inside = (
  root: string,
  { environment, folder, user }: State
): ReadonlyArray<string> => {
  const [uid = "0", gid = "0"] = user.split(":")
  return [
    "env",
    "-i",
    ...variables(environment),
    ...withoutNewRights,
    "unshare",
    `--root=${root}`,
    `--wd=${folder}`,
    `--setgid=${gid}`,
    `--setuid=${uid}`
  ]
}

export const bind = (source: string, target: string): string =>
  `mount --bind ${quoted(source)} ${quoted(target)}`
export const readOnly = (target: string): string => `mount -o remount,bind,ro ${quoted(target)}`

const mountPoint = (root: string, place: string, kind: "file" | "folder" = "folder"): string => {
  const target = join(root, place)
  if (fs.existsSync(target)) return ""
  return kind === "file"
    ? `mkdir -p ${quoted(dirname(target))}; touch ${quoted(target)}`
    : `mkdir -p ${quoted(target)}`
}

export class Container implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #state: State
  #output = ""

  /** `mounts` are files and folders of the machine by their place in the container. */
  static start(
    root: string,
    state: State,
    command: ReadonlyArray<string>,
    mounts: Readonly<Record<string, string>>
  ): Container {
    const script = [
      "set -e",
      bind(root, root),
      ...["/proc", "/dev", "/tmp"].map((place) => mountPoint(root, place)),
      ...Object.entries(mounts).map(([place, source]) =>
        mountPoint(root, place, fs.statSync(source).isFile() ? "file" : "folder")
      ),
      ...["null", "zero", "random", "urandom"].flatMap((device) => [
        mountPoint(root, `/dev/${device}`, "file"),
        bind(`/dev/${device}`, join(root, "dev", device))
      ]),
      bind(process.execPath, join(root, nodePath)),
      `mount -t tmpfs -o mode=1777 tmpfs ${quoted(join(root, "tmp"))}`,
      ...Object.entries(mounts).map(([place, source]) => bind(source, join(root, place))),
      `mount -t proc proc ${quoted(join(root, "proc"))}`,
      readOnly(root),
      `exec "$@"`
    ].filter((line) => line !== "").join("\n")
    const words = ["sh", "-c", script, "container", ...inside(root, state), ...command]
    const child = spawn(
      "env",
      [...separate, ...words],
      { stdio: ["ignore", "pipe", "pipe"] }
    )
    return new Container(child, state)
  }

  private constructor(child: ChildProcess, state: State) {
    this.#process = child
    this.#state = state
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => (this.#output += text))
    }
  }

  /** What it has written to stdout and stderr. */
  get output(): string {
    return this.#output
  }

  /** All processes in it, as this machine numbers them. */
  get processes(): ReadonlyArray<number> {
    return descendants(this.#process.pid ?? 0)
  }

  /** Waits until PID 1 has written this. */
  async written(text: string, deadlineMs = patienceMs): Promise<void> {
    await waitUntil(`"${text}" in a container`, () => {
      if (this.#output.includes(text)) return true
      if (this.#process.exitCode !== null) {
        throw new Error(`the container has ended without "${text}":\n${this.#output}`)
      }
      return false
    }, deadlineMs)
  }

  /** Runs a command beside PID 1, as `docker exec` does. */
  exec(command: ReadonlyArray<string>): { readonly code: number | null; readonly output: string } {
    const { environment, user } = this.#state
    const [uid = "", gid = ""] = user.split(":")
    const { status, stderr, stdout } = spawnSync("env", [
      "-i",
      ...variables(environment),
      ...withoutNewRights,
      "nsenter",
      `--target=${this.#first}`,
      "--mount",
      "--pid",
      "--root",
      "--wd",
      `--setgid=${gid}`,
      `--setuid=${uid}`,
      ...command
    ], { encoding: "utf8" })
    return { code: status, output: stdout + stderr }
  }

  /** The signal goes to PID 1; gives its exit code. */
  async stop(signal: NodeJS.Signals = "SIGTERM", deadlineMs = patienceMs): Promise<number | null> {
    process.kill(this.#first, signal)
    return this.ended(deadlineMs)
  }

  async ended(deadlineMs = patienceMs): Promise<number | null> {
    if (this.#process.exitCode === null) {
      await within("the end of a container", once(this.#process, "close"), deadlineMs)
    }
    return this.#process.exitCode
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    this.#process.kill("SIGKILL")
    await this.ended()
  }

  /** Its PID 1, as this machine numbers it. */
  get #first(): number {
    const first = this.processes.find((pid) =>
      /^NSpid:\t\d+\t1$/m.test(fs.readFileSync(`/proc/${pid}/status`, "utf8"))
    )
    if (first === undefined) throw new Error("the container has no PID 1")
    return first
  }
}
