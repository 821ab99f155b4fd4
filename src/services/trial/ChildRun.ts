/**
 * One of the program's own commands as a child process. Its output goes line by line to a listener and to a log file.
 * The scope that started it ends it: SIGTERM, then SIGKILL if it is still there after a while.
 */
import {
  Effect,
  Fiber,
  FileSystem,
  type PlatformError,
  type Redacted,
  Schema,
  type Scope,
  Stream
} from "effect"
import { ChildProcess, type ChildProcessSpawner } from "effect/process"
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
  /** Waits for the end of the process and of its output. Fails when a signal ended it. */
  readonly exitCode: Effect.Effect<number, ChildFailed>
  /** Ends it with SIGTERM, then SIGKILL. Succeeds once the process is gone. */
  readonly terminate: Effect.Effect<void>
  /** Ends it as a crash does, with SIGKILL. */
  readonly kill: Effect.Effect<void>
}

const mainFile = join(import.meta.dirname, "../../main.ts")

/** Variables of the machine that configure the program must not reach what is started here. */
const inherited = ["PATH", "HOME", "TMPDIR", "TZ", "NODE_OPTIONS", "NODE_COMPILE_CACHE"] as const

export type Variables = Readonly<Record<string, Redacted.Redacted>>

/** A second more than a central takes at most (shutdown.graceMs). */
const killing = { forceKillAfter: "9 seconds" } as const

const commandOf = (args: ReadonlyArray<string>, folder: string, variables: Variables) =>
  ChildProcess.make(process.execPath, [mainFile, ...args], {
    cwd: folder,
    env: {
      ...Object.fromEntries(inherited.map((name) => [name, process.env[name]])),
      ...variables
    },
    // In a process group of its own: a Ctrl-C at the terminal reaches the demo alone, which stops its children in order.
    detached: true,
    stdin: "ignore",
    ...killing
  })

const linesOf = (
  output: Stream.Stream<Uint8Array, PlatformError.PlatformError>
): Stream.Stream<string, PlatformError.PlatformError> =>
  output.pipe(Stream.decodeText, Stream.splitLines)

/** `name` also names the log file, in `folder`. `variables` come on top of those that every child inherits. */
export const runChild = Effect.fnUntraced(function*(
  name: string,
  args: ReadonlyArray<string>,
  folder: string,
  onLine: (line: string) => void,
  variables: Variables = {}
): Effect.fn.Return<
  ChildRun,
  ChildFailed,
  ChildProcessSpawner.ChildProcessSpawner | FileSystem.FileSystem | Scope.Scope
> {
  const failed = (problem: string) => new ChildFailed({ name, problem })
  const notStarted = Effect.mapError(({ message }: PlatformError.PlatformError) =>
    failed(`can't be started: ${message}`)
  )
  const files = yield* FileSystem.FileSystem
  const log = yield* files.open(join(folder, `${name}.log`), { flag: "w" }).pipe(notStarted)
  const child = yield* commandOf(args, folder, variables).pipe(notStarted)
  const output = yield* Stream.merge(linesOf(child.stdout), linesOf(child.stderr)).pipe(
    Stream.runForEachArray((lines) => {
      for (const line of lines) onLine(line)
      // A log that can't be written (a full disk) costs the log, not the run.
      return Effect.ignore(log.writeAll(Buffer.from(lines.map((line) => `${line}\n`).join(""))))
    }),
    Effect.forkScoped
  )
  const terminate = Effect.andThen(Effect.ignore(child.kill(killing)), Fiber.await(output))
  // Before the output's fiber is interrupted: the log has what the process says at its end, and nobody blocks on a full pipe.
  yield* Effect.addFinalizer(() => terminate)
  return {
    exitCode: Fiber.await(output).pipe(
      Effect.andThen(child.exitCode),
      Effect.mapError(() => failed("ended by a signal"))
    ),
    terminate: Effect.asVoid(terminate),
    kill: Effect.asVoid(
      Effect.andThen(Effect.ignore(child.kill({ killSignal: "SIGKILL" })), Fiber.await(output))
    )
  }
})
