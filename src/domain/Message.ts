/**
 * The messages of both ports as Schema: requests as agencies send them, in either dialect (integers or decimal strings),
 * and answers as the central sends them. Decoded, a message has a `_tag` and camelCase keys; encoded, it is the JSON of
 * the wire. The parser reads the bets port's requests (ChunkScanner, ChunkReader) and is tested against this codec, which
 * our own agency and the consult port use.
 *
 * Answers are pure ASCII and formatted as the agencies' first server formatted them (a space after `:` and `,`), since
 * clients in the field decode a body in pieces.
 */
import { Effect, Option, Record, Result, Schema, SchemaGetter, SchemaTransformation } from "effect"
import { AgencyId } from "./Agency.ts"
import { Document, PayloadItem } from "./Bet.ts"
import { DrawName } from "./Draw.ts"
import { encodeFrame } from "./Frame.ts"
import { type Code, codes, type ErrorCode, type RejectionCode } from "./Rejection.ts"

/** `type_message` in either dialect; encoded as an integer. */
const wireType = <const N extends number, const Tag extends string>(type: N, tag: Tag) =>
  Schema.Union([
    Schema.Literal(type).transform(tag),
    Schema.Literal(`${type}` as const).transform(tag)
  ])

const AgencyText = Schema.String.check(Schema.isPattern(/^[1-9]\d*$/)).pipe(Schema.decodeTo(
  AgencyId,
  SchemaTransformation.transform({ decode: Number, encode: String })
))
/** An agency's number in either dialect; encoded as an integer. */
const WireAgency = Schema.Union([AgencyId, AgencyText])

/** A chunk's number: an integer from 1. Never a string: only clients that know it send it. */
export const Seq = Schema.Int.check(
  Schema.isBetween({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })
)
const Count = Schema.Int.check(
  Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
)

/** The `payload` of a message that has none: written as null, ignored when read. */
const noPayload = Schema.optionalKey(Schema.Unknown).pipe(
  Schema.decodeTo(Schema.optionalKey(Schema.Never), {
    decode: SchemaGetter.omit(),
    encode: SchemaGetter.succeed(null)
  })
)

/** Whether the connection is held until the draw: the default, which isn't written. */
const wait = Schema.optionalKey(Schema.Boolean).pipe(Schema.decodeTo(Schema.Boolean, {
  decode: SchemaGetter.withDefault(Effect.succeed(true)),
  encode: SchemaGetter.transformOptional(Option.filter((waits) => !waits))
}))

// The keys of each message stand in the order in which they are written.

// ---- requests

const chunk = <const N extends number, const Tag extends string>(type: N, tag: Tag) =>
  Schema.Struct({
    _tag: wireType(type, tag),
    agency: WireAgency,
    seq: Schema.optional(Seq),
    bets: Schema.Array(PayloadItem)
  }).pipe(Schema.encodeKeys({ _tag: "type_message", bets: "payload" }))

const SendChunk = chunk(1, "SendChunk")
const SendLastChunk = chunk(2, "SendLastChunk")

const ConsultWinners = Schema.Struct({
  _tag: wireType(3, "ConsultWinners"),
  agency: WireAgency,
  payload: noPayload,
  wait
}).pipe(Schema.encodeKeys({ _tag: "type_message" }))

const Resume = Schema.Struct({
  _tag: wireType(4, "Resume"),
  agency: WireAgency
}).pipe(Schema.encodeKeys({ _tag: "type_message" }))

export const Request = Schema.Union([SendChunk, SendLastChunk, ConsultWinners, Resume])
export type Request = typeof Request.Type

// ---- answers

const rejectionCodes = Record.keys(codes).filter((code: Code): code is RejectionCode =>
  codes[code].answer !== "error"
)
const errorCodes = Record.keys(codes).filter((code: Code): code is ErrorCode =>
  codes[code].answer !== "rejection"
)

const ChunkProcessed = Schema.Struct({
  _tag: Schema.Literal(1).transform("ChunkProcessed"),
  payload: noPayload,
  seq: Schema.optional(Seq),
  /** The chunk had been stored before. */
  duplicate: Schema.optional(Schema.Literal(true)),
  /** The draw that a last chunk with `seq` was for. A central from before draws had names leaves it out. */
  draw: Schema.optional(DrawName)
}).pipe(Schema.encodeKeys({ _tag: "type_message" }))

const DocumentList = Schema.String.pipe(Schema.decodeTo(
  Schema.Array(Document),
  SchemaTransformation.transform({
    decode: (text: string): ReadonlyArray<string> => text === "" ? [] : text.split(","),
    encode: (documents: ReadonlyArray<string>) => documents.join(",")
  })
))

const InformAgencyWinners = Schema.Struct({
  _tag: Schema.Literal(2).transform("InformAgencyWinners"),
  /** Of the winning bets, one per bet, in the order stored. */
  documents: DocumentList
}).pipe(Schema.encodeKeys({ _tag: "type_message", documents: "payload" }))

const ChunkRejected = Schema.Struct({
  _tag: Schema.Literal(3).transform("ChunkRejected"),
  payload: noPayload,
  seq: Schema.optional(Seq),
  code: Schema.Literals(rejectionCodes),
  index: Schema.optional(Count),
  expectedSeq: Schema.optional(Seq),
  retryAfterMs: Schema.optional(Count),
  message: Schema.String
}).pipe(Schema.encodeKeys({
  _tag: "type_message",
  expectedSeq: "expected_seq",
  retryAfterMs: "retry_after_ms"
}))

const ResumePoint = Schema.Struct({
  _tag: Schema.Literal(4).transform("ResumePoint"),
  /** Of the last stored chunk; 0 when there is none. */
  seq: Count,
  bets: Count,
  /** SHA-256 (hex) of the stored bets' CSV lines. */
  digest: Schema.String,
  finished: Schema.Boolean,
  /** The draw whose bets are taken now. A central from before draws had names leaves it out. */
  draw: Schema.optional(DrawName)
}).pipe(Schema.encodeKeys({ _tag: "type_message" }))

const WinnersNotReady = Schema.Struct({
  _tag: Schema.Literal(5).transform("WinnersNotReady"),
  payload: noPayload,
  retryAfterMs: Count
}).pipe(Schema.encodeKeys({ _tag: "type_message", retryAfterMs: "retry_after_ms" }))

const ErrorAnswer = Schema.Struct({
  _tag: Schema.Literal(6).transform("ErrorAnswer"),
  payload: noPayload,
  code: Schema.Literals(errorCodes),
  message: Schema.String
}).pipe(Schema.encodeKeys({ _tag: "type_message" }))

export const Answer = Schema.Union([
  ChunkProcessed,
  InformAgencyWinners,
  ChunkRejected,
  ResumePoint,
  WinnersNotReady,
  ErrorAnswer
])
export type Answer = typeof Answer.Type

// ---- bytes

const utf8 = new TextEncoder()

const unicodeEscape = (unit: string): string =>
  `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`

/** A flat object as Python's json.dumps writes it: keys without a value left out, nothing above 0x7e. */
const asciiFrame = (wire: object): Uint8Array => {
  const pairs: Array<string> = []
  for (const [key, value] of Object.entries(wire)) {
    if (value !== undefined) pairs.push(`"${key}": ${JSON.stringify(value)}`)
  }
  const json = `{${pairs.join(", ")}}`
  return encodeFrame(utf8.encode(json.replace(/[\u007f-\uffff]/g, unicodeEscape)))
}

/** What we send ourselves is valid: its types say so, and checking each bet again would cost more than the rest. */
const unchecked = { disableChecks: true } as const
const answerToWire = Schema.encodeSync(Answer, unchecked)
const requestToWire = Schema.encodeSync(Request, unchecked)

/** The answer to every chunk without `seq`, as a whole frame. Shared: it must not be changed. */
export const chunkProcessedFrame: Uint8Array = asciiFrame(answerToWire({ _tag: "ChunkProcessed" }))

/** A whole frame, header and body in one piece. */
export const encodeAnswer = (answer: Answer): Uint8Array => {
  // One for each chunk: written out, it takes a fifth of the time that the Schema takes.
  if (answer._tag === "ChunkProcessed" && !answer.duplicate && answer.draw === undefined) {
    return answer.seq === undefined
      ? chunkProcessedFrame
      : encodeFrame(utf8.encode(`{"type_message": 1, "payload": null, "seq": ${answer.seq}}`))
  }
  return asciiFrame(answerToWire(answer))
}

/** A whole frame, header and body in one piece. */
export const encodeRequest = (request: Request): Uint8Array => asciiFrame(requestToWire(request))

/** A byte order mark isn't JSON: it is left in, and refused. */
const utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const decodeJson = (body: Uint8Array): Option.Option<unknown> =>
  Result.getSuccess(Result.try((): unknown => JSON.parse(utf8Decoder.decode(body))))

const decodeAnswerJson = Schema.decodeUnknownOption(Answer)

/** `None` for anything that isn't an answer. No reason is given: it could quote a winner's document. */
export const decodeAnswer = (body: Uint8Array): Option.Option<Answer> =>
  Option.flatMap(decodeJson(body), (json) => decodeAnswerJson(json))

// ---- the consult port

/** Why a consult can't be served; both codes are answered with ERROR. */
export interface ConsultRefusal {
  readonly code: "WRONG_PORT" | "INVALID_MESSAGE"
  /** As the message says, where it could be read. */
  readonly agency: AgencyId | undefined
  /** For people; holds no personal data. */
  readonly message: string
}

const isBetsPortMessage = Schema.is(Schema.toEncoded(Schema.Struct({
  type_message: Schema.Union([
    wireType(1, "SendChunk"),
    wireType(2, "SendLastChunk"),
    wireType(4, "Resume")
  ])
})))
const decodeConsultJson = Schema.decodeUnknownOption(ConsultWinners)
const decodeClaim = Schema.decodeUnknownOption(Schema.Struct({ agency: WireAgency }))

const claimedAgency = (json: Option.Option<unknown>): AgencyId | undefined =>
  Option.getOrUndefined(Option.flatMap(json, (value) => decodeClaim(value)))?.agency

/** Reads one frame's body on the consult port. A consult's payload is ignored, whatever it is. */
export const decodeConsult = (
  body: Uint8Array
): Result.Result<{ readonly agency: AgencyId; readonly wait: boolean }, ConsultRefusal> => {
  const json = decodeJson(body)
  if (Option.isSome(json) && isBetsPortMessage(json.value)) {
    return Result.fail({
      code: "WRONG_PORT",
      agency: claimedAgency(json),
      message: "bets and RESUME belong to the bets port"
    })
  }
  return Result.fromOption(Option.flatMap(json, (value) => decodeConsultJson(value)), () => ({
    code: "INVALID_MESSAGE",
    agency: claimedAgency(json),
    message: "not a consult: type_message 3, agency a positive integer, wait true or false"
  }))
}
