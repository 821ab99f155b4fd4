/**
 * File descriptors. Each connection needs one, and so do ledger, parsers and log. Node raises the limit as far as it may
 * by itself; at the start, the number of connections is fitted to what is left. When no descriptor is left, connections
 * are closed as soon as they are accepted, and nobody is notified: a watch reports it in the log.
 */
import { Effect, type Scope } from "effect"
import { closeSync, openSync } from "node:fs"
import { devNull } from "node:os"
import { descriptorLines, descriptorsKept } from "../../domain/Limits.ts"
import { BoundedLines } from "./BoundedLines.ts"
import { Keeper } from "./Keeper.ts"
import { OperatorLog } from "./OperatorLog.ts"
import type { SettingsShape } from "./Settings.ts"
import { softLimit } from "./SystemLimit.ts"

/** Descriptors for ledger, parsers, log and operations, and for connections that are being refused. */
const reserved = ({ parsers }: SettingsShape): number =>
  descriptorsKept.base + descriptorsKept.perParser * parsers.processes

/** The settings, with `connections.max` lowered to the number of descriptors if necessary. */
export const fitToDescriptors = Effect.fnUntraced(function*(settings: SettingsShape) {
  const limit = softLimit("Max open files")
  if (limit === undefined) return settings
  const log = yield* OperatorLog
  const { max } = settings.connections
  const fit = Math.max(limit - reserved(settings), 1)
  if (fit >= max) return settings
  log.write("WARNING", "descriptors", "too_few", {
    limit,
    connections_max: max,
    connections: fit,
    detail: `connections beyond ${fit} are refused: raise ulimit -n to ${max + reserved(settings)} `
      + "or lower connections.max"
  })
  return { ...settings, connections: { ...settings.connections, max: fit } }
})

const watchMs = 1000

/** The system's error code when no descriptor is left. */
const exhaustion = (): string | undefined => {
  try {
    closeSync(openSync(devNull, "r"))
    return undefined
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : ""
    return code === "EMFILE" || code === "ENFILE" ? code : undefined
  }
}

/** Logs when no descriptor is left for connections: one line a minute for as long as it lasts. */
export const watchDescriptors: Effect.Effect<void, never, Keeper | OperatorLog | Scope.Scope> =
  Effect.gen(function*() {
    const log = yield* OperatorLog
    const keeper = yield* Keeper
    const lines = new BoundedLines<string>(descriptorLines, () => {})
    yield* Effect.addFinalizer(() => Effect.sync(() => lines.endWindow()))
    const report = Effect.sync(() => {
      const code = exhaustion()
      if (code === undefined || !lines.take(code)) return
      log.write("ERROR", "accept_connections", "fail", {
        problem: `${code}: no file descriptor is left, so connections are closed as they come`
      })
    })
    yield* keeper.loop("descriptors", Effect.andThen(Effect.sleep(watchMs), report))
  })
