/** The central of a demonstration: a process on free ports of this machine, with a ledger of its own. */
import { Deferred, Effect, FileSystem } from "effect"
import { join } from "node:path"
import { ChildFailed, runChild } from "./ChildRun.ts"

const readyDeadlineMs = 15_000

export interface Ports {
  readonly bets: number
  readonly consult: number
}

/** Its configuration, ledger and log are in `folder`. */
export const startCentral = Effect.fnUntraced(function*(
  folder: string,
  agencies: number,
  winningNumber: number
) {
  const files = yield* FileSystem.FileSystem
  const ledger = join(folder, "ledger.sqlite")
  const config = join(folder, "config.yaml")
  // JSON is YAML. Port 0 is any free port.
  yield* files.writeFileString(
    config,
    JSON.stringify({
      lottery: { agencies, winningNumber },
      bets: { host: "127.0.0.1", port: 0 },
      consult: { host: "127.0.0.1", port: 0 },
      operations: { port: 0 },
      ledger: { path: ledger }
    })
  )
  const watch = portWatch()
  const child = yield* runChild("central", ["serve", "--config", config], folder, watch.onLine)
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
  const stop = child.terminate.pipe(
    Effect.andThen(child.exitCode),
    Effect.flatMap((code) =>
      code === 0 ? Effect.void : failed(`ended with exit code ${code} after SIGTERM`)
    )
  )
  return {
    /** Fails when the process ends before it is stopped. */
    died: endedEarly("it was stopped"),
    ledger,
    ports,
    /** Fails unless the process ends in good order. */
    stop
  }
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

const failed = (problem: string) => Effect.fail(new ChildFailed({ name: "central", problem }))
