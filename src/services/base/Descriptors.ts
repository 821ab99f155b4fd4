/**
 * File descriptors: each connection takes one, and so does much else. Node has raised the limit as far as it may by
 * itself. What that leaves for connections is found out at the start; and while there is none left, which the system
 * doesn't tell (it takes connections in and closes them at once), the log says so.
 */
import { Effect, type Scope } from "effect"
import { closeSync, openSync, readFileSync } from "node:fs"
import { devNull } from "node:os"
import { descriptorLines, descriptorsKept } from "../../domain/Limits.ts"
import { BoundedLines } from "./BoundedLines.ts"
import { Keeper } from "./Keeper.ts"
import { OperatorLog } from "./OperatorLog.ts"
import type { SettingsShape } from "./Settings.ts"

/** The limit in force; undefined where the system has none, or doesn't tell in this way. */
const limitInForce = (): number | undefined => {
  try {
    const soft = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]
    return soft === undefined ? undefined : Number(soft)
  } catch {
    return undefined
  }
}

/** What ledger, parsers, log and operations need, and connections that are being refused. */
const keptFor = ({ parsers }: SettingsShape): number =>
  descriptorsKept.base + descriptorsKept.perParser * parsers.processes

/** The settings with as many connections as there are descriptors for. */
export const fitToDescriptors = Effect.fnUntraced(function*(settings: SettingsShape) {
  const limit = limitInForce()
  if (limit === undefined) return settings
  const log = yield* OperatorLog
  const { max } = settings.connections
  const fit = Math.max(limit - keptFor(settings), 1)
  if (fit >= max) return settings
  log.write("WARNING", "descriptors", "too_few", {
    limit,
    connections_max: max,
    connections: fit,
    detail: `connections beyond ${fit} are refused: raise ulimit -n to ${max + keptFor(settings)} `
      + "or lower connections.max"
  })
  return { ...settings, connections: { ...settings.connections, max: fit } }
})

const lookMs = 1000

const problem = (): string | undefined => {
  try {
    closeSync(openSync(devNull, "r"))
    return undefined
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : ""
    return code === "EMFILE" || code === "ENFILE" ? code : undefined
  }
}

/** Says in the log when connections are closed for want of a descriptor; a line a minute while it lasts. */
export const watchDescriptors: Effect.Effect<void, never, Keeper | OperatorLog | Scope.Scope> =
  Effect.gen(function*() {
    const log = yield* OperatorLog
    const keeper = yield* Keeper
    const lines = new BoundedLines<string>(descriptorLines, () => {})
    yield* Effect.addFinalizer(() => Effect.sync(() => lines.endWindow()))
    const look = Effect.sync(() => {
      const found = problem()
      if (found === undefined || !lines.take(found)) return
      log.write("ERROR", "accept_connections", "fail", {
        problem: `${found}: no file descriptor is left, so connections are closed as they come`
      })
    })
    yield* keeper.loop("descriptors", Effect.andThen(Effect.sleep(lookMs), look))
  })
