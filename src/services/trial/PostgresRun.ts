/**
 * A PostgreSQL on this machine, as a process on a free port of 127.0.0.1, with a password. Its scope ends it in order
 * (what is stored stays in its folder); it can also be ended as a crash does, and started again on the same folder.
 */
import { Deferred, Effect, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { systemReason } from "../base/SystemReason.ts"
import { PostgresFailed, type PostgresPrograms } from "./PostgresPrograms.ts"

/** The folder of one PostgreSQL's data. */
export interface PostgresData {
  readonly programs: PostgresPrograms
  readonly folder: string
  /** The password of the user `postgres`, who may do everything. */
  readonly password: string
}

export interface PostgresOptions {
  /** A free one by default. */
  readonly port?: number
  /** Settings of postgresql.conf, which they override. */
  readonly settings?: Readonly<Record<string, string>>
}

export interface PostgresRun {
  readonly pid: number
  readonly port: number
  /** Of the database `postgres`, without the password. */
  readonly url: string
  /** The last of what it has logged. */
  readonly log: () => string
  /** Waits for the end of its first process. */
  readonly exited: Effect.Effect<void>
  /**
   * Ends it. `fast` terminates its sessions and writes everything down; `immediate` and `SIGKILL` are crashes that it
   * recovers from at its next start. After SIGKILL its sessions end by themselves, a moment later; a start before that
   * fails.
   */
  readonly end: (how: "fast" | "immediate" | "SIGKILL") => Effect.Effect<void>
}

const initDeadlineMs = 60_000
const readyDeadlineMs = 60_000
const endDeadlineMs = 20_000
/** Another program may take the port between the search for it and its use. */
const portTries = 5

/** Of the log, about as much is kept. */
const logCharactersMax = 256 * 1024

const environment = { LC_ALL: "C", TZ: "UTC", PATH: process.env["PATH"] ?? "" }

/** Makes the data of a new PostgreSQL, in a folder of this name inside of the programs' folder. */
export const initPostgres = Effect.fnUntraced(function*(
  programs: PostgresPrograms,
  name = "data"
): Effect.fn.Return<PostgresData, PostgresFailed> {
  const folder = join(programs.folder, name)
  const password = randomBytes(16).toString("hex")
  const passwordFile = `${folder}.password`
  yield* Effect.try({
    try: () => {
      fs.writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 })
      if (programs.user !== undefined) {
        fs.chownSync(passwordFile, programs.user.uid, programs.user.gid)
      }
    },
    catch: (cause) => new PostgresFailed({ problem: `has no password: ${systemReason(cause)}` })
  })
  // Whether the empty database survives a crash of the machine doesn't matter; what it stores later is synced.
  const args = [
    "--pgdata",
    folder,
    "--username",
    "postgres",
    "--pwfile",
    passwordFile,
    "--auth",
    "scram-sha-256",
    "--encoding",
    "UTF8",
    "--locale",
    "C",
    "--no-sync"
  ]
  yield* Effect.scoped(Effect.gen(function*() {
    const started = yield* startProgram(programs, "initdb", args)
    yield* started.exited.pipe(
      Effect.timeoutOrElse({
        duration: initDeadlineMs,
        orElse: () => failed("did not make its data in time", started.log())
      })
    )
    if (started.child.exitCode !== 0) yield* failed("can't make its data", started.log())
  }))
  return { programs, folder, password }
})

/** Starts it on its data; ready when this succeeds. */
export const startPostgres = (
  data: PostgresData,
  options: PostgresOptions = {}
): Effect.Effect<PostgresRun, PostgresFailed, Scope.Scope> =>
  Effect.flatMap(
    options.port === undefined ? freePort : Effect.succeed(options.port),
    (port) => startOn(data, port, options.settings ?? {})
  ).pipe(
    Effect.retry({
      times: portTries - 1,
      while: ({ problem }) =>
        options.port === undefined && problem.includes("Address already in use")
    })
  )

const startOn = Effect.fnUntraced(function*(
  { folder, programs }: PostgresData,
  port: number,
  settings: Readonly<Record<string, string>>
): Effect.fn.Return<PostgresRun, PostgresFailed, Scope.Scope> {
  const all = {
    port: String(port),
    listen_addresses: "127.0.0.1",
    // A socket file would need a short path that everyone may reach.
    unix_socket_directories: "",
    ...settings
  }
  const { child, exited, log } = yield* startProgram(programs, "postgres", [
    "-D",
    folder,
    ...Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`])
  ])
  const ready = Deferred.makeUnsafe<void>()
  const look = () => {
    if (log().includes("database system is ready to accept")) {
      Deferred.doneUnsafe(ready, Effect.void)
    }
  }
  child.stderr?.on("data", look)
  look()
  yield* Effect.raceFirst(
    Deferred.await(ready),
    Effect.andThen(exited, Effect.suspend(() => failed("ended at its start", log())))
  ).pipe(
    Effect.timeoutOrElse({
      duration: readyDeadlineMs,
      orElse: () => failed("was not ready in time", log())
    })
  )
  return {
    pid: child.pid ?? 0,
    port,
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    log,
    exited,
    end: (how) => end(child, exited, signals[how])
  }
})

const signals = { fast: "SIGINT", immediate: "SIGQUIT", SIGKILL: "SIGKILL" } as const

const failed = (problem: string, log: string): Effect.Effect<never, PostgresFailed> =>
  Effect.fail(new PostgresFailed({ problem: `${problem}: ${log.trim().slice(-2000)}` }))

const end = (child: ChildProcess, exited: Effect.Effect<void>, signal: NodeJS.Signals) =>
  Effect.sync(() => child.kill(signal)).pipe(
    Effect.andThen(exited),
    Effect.timeoutOrElse({
      duration: endDeadlineMs,
      orElse: () =>
        Effect.andThen(
          Effect.sync(() => child.kill("SIGKILL")),
          exited
        )
    })
  )

/** The scope ends it, in order. */
const startProgram = Effect.fnUntraced(function*(
  { binaries, folder, user }: PostgresPrograms,
  name: string,
  args: ReadonlyArray<string>
) {
  const gone = Deferred.makeUnsafe<void>()
  const exited = Deferred.await(gone)
  const child = yield* Effect.acquireRelease(
    Effect.callback<ChildProcess, PostgresFailed>((resume) => {
      const started = spawn(join(binaries, name), args, {
        cwd: folder,
        env: environment,
        // A Ctrl-C at the terminal reaches the trial alone, which ends this in order.
        detached: true,
        stdio: ["ignore", "pipe", "pipe"],
        ...user
      })
      started.once("spawn", () => resume(Effect.succeed(started)))
      started.once("error", (cause) => {
        const problem = `can't start ${name}: ${systemReason(cause)}`
        resume(Effect.fail(new PostgresFailed({ problem })))
      })
      // Not "close": after a crash its sessions hold the pipes for a moment.
      started.once("exit", () => Deferred.doneUnsafe(gone, Effect.void))
    }),
    (started) => end(started, exited, signals.fast)
  )
  let text = ""
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (more: string) => {
      text = (text + more).slice(-logCharactersMax)
    })
  }
  return { child, exited, log: () => text }
})

const freePort: Effect.Effect<number> = Effect.callback((resume) => {
  const server = createServer()
  server.listen({ port: 0, host: "127.0.0.1" }, () => {
    const address = server.address()
    server.close(() =>
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    )
  })
})
