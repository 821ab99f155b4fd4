/**
 * The log of refusals on both ports. Each refusal is one WARNING with the door, the peer and the reason. A field client
 * reads a refusal as "not logged" and reports nothing, and if the refused chunk was the agency's last one, the draw
 * waits for it. The line says that as well, and lists the missing agencies.
 *
 * The number of lines per minute is bounded for each door and code. The first line about an agency that the draw waits
 * for is always written.
 */
import { Context, Effect, Layer } from "effect"
import { refusalLines, refusalMissingMax } from "../../domain/Limits.ts"
import type { Code } from "../../domain/Rejection.ts"
import type { Refused } from "../../domain/Verdict.ts"
import { BoundedLines } from "../base/BoundedLines.ts"
import { type Details, OperatorLog } from "../base/OperatorLog.ts"
import type { Missing } from "../draw/Lottery.ts"
import type { Door } from "./Connection.ts"
import type { Session } from "./Session.ts"

const nobody: Missing = { has: () => false, first: () => [] }

export class Refusals extends Context.Service<Refusals, {
  readonly write: (session: Session, refused: Refused) => void
  /** Sets the agencies that the draw waits for. */
  readonly drawWaitsFor: (missing: Missing) => void
}>()("loteria-nacional/services/intake/Refusals") {
  static readonly layer = Layer.effect(
    Refusals,
    Effect.gen(function*() {
      const log = yield* OperatorLog
      let awaited = nobody
      const boundedAt = (door: Door) =>
        new BoundedLines<Code>(refusalLines, (code, lines) => {
          log.write("WARNING", "refusals", "left_out", { door, code, cantidad: lines })
        })
      const bounded = { bets: boundedAt("bets"), consult: boundedAt("consult") }
      const waitedFor = new BoundedLines<number>({ ...refusalLines, linesMax: 1 }, () => {})
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          for (const lines of [bounded.bets, bounded.consult, waitedFor]) lines.endWindow()
        })
      )

      const missing = (): string => {
        const some = awaited.first(refusalMissingMax + 1).map(String)
        if (some.length > refusalMissingMax) some[refusalMissingMax] = "…"
        return some.join(", ")
      }

      /** The consequence of a refusal that a field client won't report. */
      const consequence = (agency: number | undefined, waits: boolean): Details => {
        if (waits) {
          const detail =
            `the draw waits for agency ${agency}, whose client doesn't report this: fix the cause and start it again`
          return { missing: missing(), detail }
        }
        if (agency !== undefined || awaited.first(1).length === 0) return {}
        return {
          missing: missing(),
          detail: "if it is one of the missing agencies, the draw waits for it"
        }
      }

      const write = (session: Session, refused: Refused): void => {
        const { door, transport } = session.connection
        const agency = session.agency ?? refused.agency
        // A client that numbers its chunks reports refusals itself. A refused consult is repeated.
        const understood = refused.understood ?? (session.tellable || refused.seq !== undefined)
        const silent = door === "bets" && !understood
        const waits = silent && agency !== undefined && awaited.has(agency)
        const unbounded = waits && waitedFor.take(agency)
        if (!unbounded && !bounded[door].take(refused.code)) return
        const details: Record<string, string | number> = door === "bets"
          ? { cantidad: refused.bets ?? 0 }
          : {}
        if (agency !== undefined) details["agencia"] = agency
        details["code"] = refused.code
        if (refused.index !== undefined) details["index"] = refused.index
        if (refused.agency !== undefined && refused.agency !== agency) {
          details["claimed"] = refused.agency
        }
        if (refused.bytes !== undefined) details["bytes"] = refused.bytes
        details["door"] = door
        details["ip"] = transport.address
        if (silent) Object.assign(details, consequence(agency, waits))
        if (door === "bets") log.write("WARNING", "apuesta_recibida", "fail", details)
        else log.write("WARNING", "consulta_recibida", "fail", details)
      }

      return Refusals.of({
        write,
        drawWaitsFor: (who) => {
          awaited = who
        }
      })
    })
  )
}
