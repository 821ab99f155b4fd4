/**
 * What a refusal of the central means for the agency: try again later (ConnectionLost), ask where to go on (OutOfStep), or
 * end, with a message that says what to do.
 */
import { Data, Schema } from "effect"
import type { AgencyId } from "../../domain/Agency.ts"
import type { Answer } from "../../domain/Message.ts"
import { codes, type ErrorCode, type RejectionCode } from "../../domain/Rejection.ts"
import { ConnectionLost } from "./CentralConnection.ts"

/** The central refused one bet; nothing of its chunk is stored. */
export class BetRefused extends Schema.TaggedError<BetRefused>()("BetRefused", {
  agency: Schema.Int,
  line: Schema.Int,
  code: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `agency ${this.agency}: line ${this.line} of the bet file was refused (${this.code}: ${this.reason}); `
      + "correct the line and start again: the agency continues where it stopped"
  }
}

/** The central refused the agency or its messages, and trying again can't help. */
export class AgencyRefused extends Schema.TaggedError<AgencyRefused>()("AgencyRefused", {
  agency: Schema.Int,
  code: Schema.String,
  reason: Schema.String,
  action: Schema.String
}) {
  override get message(): string {
    return `agency ${this.agency}: ${this.code}: ${this.reason}. ${this.action}`
  }
}

/**
 * The central and the agency disagree about where they are, as after another connection of the agency sent something.
 * Asking where to go on cures it, unless the same refusal follows at once.
 */
export class OutOfStep extends Data.TaggedError("OutOfStep")<{ readonly refusal: AgencyRefused }> {}

const outOfStepCodes: ReadonlySet<RejectionCode> = new Set([
  "SEQUENCE_GAP",
  "SEQUENCE_CONFLICT",
  "AGENCY_FINISHED"
])

const laterCodes: ReadonlySet<ErrorCode> = new Set(["TIMEOUT", "TOO_MANY_CONNECTIONS"])

const refused = (agency: AgencyId, code: RejectionCode | ErrorCode, reason: string) =>
  new AgencyRefused({ agency, code, reason, action: codes[code].action })

/** What an ERROR answer means. */
export const failureOfError = (
  agency: AgencyId,
  { code, message }: Extract<Answer, { readonly _tag: "ErrorAnswer" }>
): ConnectionLost | AgencyRefused =>
  laterCodes.has(code) ? new ConnectionLost({ problem: code }) : refused(agency, code, message)

/** What CHUNK_REJECTED means; `lineOf` gives the line of a bet by its index in the chunk. */
export const failureOfRejection = (
  agency: AgencyId,
  { code, index, message, retryAfterMs }: Extract<Answer, { readonly _tag: "ChunkRejected" }>,
  lineOf: (index: number) => number | undefined
): ConnectionLost | BetRefused | OutOfStep | AgencyRefused => {
  if (codes[code].retryable) return new ConnectionLost({ problem: code, retryAfterMs })
  const line = index === undefined ? undefined : lineOf(index)
  if (code === "INVALID_BET" && line !== undefined) {
    return new BetRefused({ agency, line, code, reason: message })
  }
  const refusal = refused(agency, code, message)
  return outOfStepCodes.has(code) ? new OutOfStep({ refusal }) : refusal
}
