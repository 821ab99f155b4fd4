/**
 * One of the program's own commands as a child process: its outputs go line by line to a listener and whole to a file.
 * The scope that started it ends it: SIGTERM, and SIGKILL when that doesn't help in time.
 */
import { Deferred, Effect, Schema, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { createWriteStream } from "node:fs"
import { join } from "node:path"

export class ChildFailed extends Schema.TaggedError<ChildFailed>()("ChildFailed", {
  name: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `${this.name}: ${this.problem}`
  }
}

export interface ChildRun {
  /** The exit code; null when a signal ended it. */
  readonly ended: Effect.Effect<number | null>
  readonly terminate: Effect.Effect<void>
}

const mainFile = join(import.meta.dirname, "../../main.ts")

/** Variables of the machine that configure the program must not reach what is started here. */
const inherited = ["PATH", "HOME", "TMPDIR", "TZ", "NODE_OPTIONS", "NODE_COMPILE_CACHE"] as const

const environment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(inherited.flatMap((name) => {
    const value = process.env[name]
    return value === undefined ? [] : [[name, value]]
  }))

const killAfterMs = 9000

const listen = (child: ChildProcess, logPath: string, onLine: (line: string) => void) => {
  const log = createWriteStream(logPath)
  // A log that can't be written (a full disk) costs the log, not the run.
  log.on("error", () => {})
  for (const output of [child.stdout, child.stderr]) {
    let rest = ""
    output?.setEncoding("utf8").on("data", (text: string) => {
      log.write(text)
      const lines = (rest + text).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) onLine(line)
    })
  }
  child.once("close", () => log.end())
}

/** `name` also names the log file, in `folder`. */
export const runChild = Effect.fnUntraced(function*(
  name: string,
  args: ReadonlyArray<string>,
  folder: string,
  onLine: (line: string) => void
): Effect.fn.Return<ChildRun, never, Scope.Scope> {
  const exit = yield* Deferred.make<number | null>()
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const started = spawn(process.execPath, [mainFile, ...args], {
        cwd: folder,
        env: environment(),
        // A Ctrl-C at the terminal is for the demo, which then stops its children in order.
        detached: true,
        stdio: ["ignore", "pipe", "pipe"]
      })
      started.once("close", (code) => Deferred.doneUnsafe(exit, Effect.succeed(code)))
      started.once("error", () => Deferred.doneUnsafe(exit, Effect.succeed(null)))
      listen(started, join(folder, `${name}.log`), onLine)
      return started
    }),
    (started) =>
      Effect.suspend(() => {
        if (started.exitCode !== null || started.signalCode !== null) return Effect.void
        started.kill("SIGTERM")
        return Deferred.await(exit).pipe(
          Effect.timeoutOrElse({
            duration: killAfterMs,
            orElse: () => Effect.sync(() => started.kill("SIGKILL"))
          })
        )
      })
  )
  return {
    ended: Deferred.await(exit),
    terminate: Effect.sync(() => {
      child.kill("SIGTERM")
    })
  }
})
