/**
 * What was refused, on either port: one WARNING each, which says on which door, to whom, and why. A client of the field
 * takes a refusal for "not logged" and says nothing; should it be the agency's last chunk, everybody waits for it. So
 * the line says that too, and who is missing.
 *
 * How many lines there are in a minute is bounded for each door and code; the first one that makes the draw wait for an
 * agency is always written.
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
  /** Whom the draw waits for. */
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

      /** What to say where a client will not: one of the field, whose connection is closed on it. */
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
        // A client that numbers its chunks knows what was refused, and says so; consults are asked again.
        const silent = door === "bets" && !session.tellable && refused.seq === undefined
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
