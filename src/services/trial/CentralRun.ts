/** A central of a demonstration: a process on free ports of this machine. */
import { Deferred, Effect, FileSystem } from "effect"
import { join } from "node:path"
import { type PostgresUrl, showPostgresUrl } from "../base/PostgresUrl.ts"
import { ChildFailed, runChild, type Variables } from "./ChildRun.ts"

/** Several start at once, on a machine that may be busy. */
const readyDeadlineMs = 60_000

export interface Ports {
  readonly bets: number
  readonly consult: number
}

export interface CentralOptions {
  /** For messages; its configuration and its log in the folder are called so too. */
  readonly name: string
  readonly agencies: number
  readonly winningNumber: number
  readonly draw?: string
  /** A file; or a database, which other centrals may use too. */
  readonly ledger: string | PostgresUrl
}

/** A central that is ready. */
export interface CentralRun {
  readonly name: string
  readonly ports: Ports
  /** Fails when the process ends before it is stopped or killed. */
  readonly died: Effect.Effect<never, ChildFailed>
  /** Fails unless the process ends in good order. */
  readonly stop: Effect.Effect<void, ChildFailed>
  /** Ends it as a crash does, with SIGKILL. */
  readonly kill: Effect.Effect<void>
}

/** Its configuration and its log are in `folder`. */
export const startCentral = Effect.fnUntraced(function*(folder: string, options: CentralOptions) {
  const { ledger, name, ...lottery } = options
  const files = yield* FileSystem.FileSystem
  const config = join(folder, `${name}.yaml`)
  // JSON is YAML. Port 0 is any free port.
  yield* files.writeFileString(
    config,
    JSON.stringify({
      lottery,
      bets: { host: "127.0.0.1", port: 0 },
      consult: { host: "127.0.0.1", port: 0 },
      operations: { port: 0 },
      ledger: typeof ledger === "string" ? { path: ledger } : { url: showPostgresUrl(ledger) }
    })
  )
  const watch = portWatch()
  const variables: Variables = typeof ledger === "string" || ledger.password === undefined
    ? {}
    : { LEDGER_PASSWORD: ledger.password }
  const args = ["serve", "--config", config]
  const child = yield* runChild(name, args, folder, watch.onLine, variables)
  const failed = (problem: string) => Effect.fail(new ChildFailed({ name, problem }))
  const endedEarly = (before: string) =>
    Effect.flatMap(
      child.exitCode,
      (code) => failed(`ended with exit code ${code} before ${before}`)
    )
  const ports = yield* Effect.raceFirst(
    Deferred.await(watch.ready),
    endedEarly("it was ready")
  ).pipe(
    Effect.timeoutOrElse({
      duration: readyDeadlineMs,
      orElse: () => failed(`not ready after ${readyDeadlineMs} ms`)
    })
  )
  let killed = false
  const run: CentralRun = {
    name,
    ports,
    died: Effect.catch(
      endedEarly("it was stopped"),
      (failure) => Effect.suspend(() => killed ? Effect.never : Effect.fail(failure))
    ),
    stop: child.terminate.pipe(
      Effect.andThen(child.exitCode),
      Effect.flatMap((code) =>
        code === 0 ? Effect.void : failed(`ended with exit code ${code} after SIGTERM`)
      )
    ),
    kill: Effect.suspend(() => {
      killed = true
      return child.kill
    })
  }
  return run
})

/** Finds the ports in the central's log, and notices when it is ready. */
const portWatch = () => {
  const ports = new Map<string, number>()
  const ready = Deferred.makeUnsafe<Ports>()
  const onLine = (line: string) => {
    const match = /action: listen \| result: success \| resource: (\w+) \| port: (\d+)/.exec(line)
    if (match?.[1] !== undefined) ports.set(match[1], Number(match[2]))
    const bets = ports.get("bets_listener")
    const consult = ports.get("consult_listener")
    if (
      bets !== undefined && consult !== undefined &&
      line.includes("action: ready | result: success")
    ) {
      Deferred.doneUnsafe(ready, Effect.succeed({ bets, consult }))
    }
  }
  return { onLine, ready }
}
