/**
 * Faults of the machine under the server: a disk that fails on command, a small disk, a clock that jumps. Not every
 * machine allows them: `unavailable` is the reason, with which the tests that need them are skipped.
 */
import { execFileSync, spawnSync } from "node:child_process"
import {
  closeSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const works = (command: string, args: ReadonlyArray<string>): boolean => {
  const { error, status } = spawnSync(command, args, { stdio: "ignore" })
  return error === undefined && status === 0
}

const place = { failSyncs: 0, failWrites: 1, clockSeconds: 2, failures: 3 } as const

/** A library made from FaultyDisk.c, loaded into the server. */
export class FaultyMachine implements Disposable {
  /** Why there can be none here; undefined when there can. */
  static readonly unavailable = process.platform !== "linux"
    ? "it loads a library into the server as Linux does"
    : works("cc", ["--version"])
    ? undefined
    : "there is no C compiler (cc)"

  readonly #folder: string
  readonly #commands: number

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), "loteria-machine-"))
    writeFileSync(join(this.#folder, "commands"), new Uint8Array(16))
    this.#commands = openSync(join(this.#folder, "commands"), "r+")
    const source = join(import.meta.dirname, "FaultyDisk.c")
    execFileSync("cc", ["-O1", "-shared", "-fPIC", "-o", this.#library, source, "-ldl"])
  }

  get #library(): string {
    return join(this.#folder, "faulty.so")
  }

  /** What the server must have in its environment. */
  get environment(): Readonly<Record<string, string>> {
    return { LD_PRELOAD: this.#library, FAULTS: join(this.#folder, "commands") }
  }

  set failSyncs(fail: boolean) {
    this.#write(place.failSyncs, fail ? 1 : 0)
  }

  set failWrites(fail: boolean) {
    this.#write(place.failWrites, fail ? 1 : 0)
  }

  set clockSeconds(off: number) {
    this.#write(place.clockSeconds, off)
  }

  /** How many calls were made to fail. */
  get failures(): number {
    const bytes = new Uint8Array(4)
    readSync(this.#commands, bytes, 0, 4, 4 * place.failures)
    return new DataView(bytes.buffer).getInt32(0, true)
  }

  [Symbol.dispose](): void {
    closeSync(this.#commands)
    rmSync(this.#folder, { recursive: true })
  }

  #write(index: number, value: number): void {
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setInt32(0, value, true)
    writeSync(this.#commands, bytes, 0, 4, 4 * index)
  }
}

/** A disk of so many bytes, in memory. */
export class SmallDisk implements Disposable {
  static readonly unavailable = (() => {
    if (process.getuid?.() !== 0) return "only root may mount a disk"
    const folder = mkdtempSync(join(tmpdir(), "loteria-disk-"))
    const mounted = works("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder])
    if (mounted) execFileSync("umount", [folder])
    rmSync(folder, { recursive: true })
    return mounted ? undefined : "nothing may be mounted here"
  })()

  readonly path: string

  constructor(bytes: number) {
    this.path = mkdtempSync(join(tmpdir(), "loteria-disk-"))
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", this.path])
  }

  remount(options: string): void {
    execFileSync("mount", ["-o", `remount,${options}`, this.path])
  }

  [Symbol.dispose](): void {
    execFileSync("umount", ["--lazy", this.path])
    rmSync(this.path, { recursive: true, force: true })
  }
}

/** Traces the system calls of a process that runs, if that is possible here. */
export const straceUnavailable = process.platform === "linux" && works("strace", ["-V"])
  ? works("strace", ["-o", "/dev/null", "true"]) ? undefined : "processes may not be traced here"
  : "strace is not installed"
