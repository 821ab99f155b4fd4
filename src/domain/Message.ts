/**
 * The messages of both ports as Schema: requests as agencies send them, in either dialect (integers or decimal strings),
 * and answers as the central sends them. Decoded, a message has a `_tag` and camelCase keys; encoded, it is the
 * JSON of the wire. The bets port's requests are read by the parser (ChunkScanner, ChunkReader); the codec
 * here is what they are tested against, and what our own agency and the consult port use.
 *
 * Answers are pure ASCII and formatted as the agencies' first server did (a space after `:` and `,`), since clients
 * in the field decode the body in pieces.
 */
import { Effect, Option, Record, Result, Schema, SchemaTransformation } from "effect"
import { AgencyId } from "./Agency.ts"
import { Document, type FiveFields, PayloadItem, payloadItem } from "./Bet.ts"
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

// ---- requests

export const SendChunk = Schema.Struct({
  _tag: wireType(1, "SendChunk"),
  agency: WireAgency,
  seq: Schema.optionalKey(Seq),
  bets: Schema.Array(PayloadItem)
}).pipe(Schema.encodeKeys({ _tag: "type_message", bets: "payload" }))

export const SendLastChunk = Schema.Struct({
  _tag: wireType(2, "SendLastChunk"),
  agency: WireAgency,
  seq: Schema.optionalKey(Seq),
  bets: Schema.Array(PayloadItem)
}).pipe(Schema.encodeKeys({ _tag: "type_message", bets: "payload" }))

export const ConsultWinners = Schema.Struct({
  _tag: wireType(3, "ConsultWinners"),
  agency: WireAgency,
  /** Whether the connection is held until the draw. */
  wait: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true)))
}).pipe(Schema.encodeKeys({ _tag: "type_message" }))
export type ConsultWinners = typeof ConsultWinners.Type

export const Resume = Schema.Struct({
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

export const ChunkProcessed = Schema.Struct({
  _tag: Schema.Literal(1).transform("ChunkProcessed"),
  seq: Schema.optionalKey(Seq),
  /** The chunk had been stored before. */
  duplicate: Schema.optionalKey(Schema.Literal(true)),
  /** Whose last chunk it was: to one with `seq`. A central from before draws had names doesn't say it. */
  draw: Schema.optionalKey(DrawName)
}).pipe(Schema.encodeKeys({ _tag: "type_message" }))

const DocumentList = Schema.String.pipe(Schema.decodeTo(
  Schema.Array(Document),
  SchemaTransformation.transform({
    decode: (text: string): ReadonlyArray<string> => text === "" ? [] : text.split(","),
    encode: (documents: ReadonlyArray<string>) => documents.join(",")
  })
))

export const InformAgencyWinners = Schema.Struct({
  _tag: Schema.Literal(2).transform("InformAgencyWinners"),
  /** Of the winning bets, one per bet, in the order stored. */
  documents: DocumentList
}).pipe(Schema.encodeKeys({ _tag: "type_message", documents: "payload" }))

export const ChunkRejected = Schema.Struct({
  _tag: Schema.Literal(3).transform("ChunkRejected"),
  code: Schema.Literals(rejectionCodes),
  message: Schema.String,
  seq: Schema.optionalKey(Seq),
  index: Schema.optionalKey(Count),
  expectedSeq: Schema.optionalKey(Seq),
  retryAfterMs: Schema.optionalKey(Count)
}).pipe(Schema.encodeKeys({
  _tag: "type_message",
  expectedSeq: "expected_seq",
  retryAfterMs: "retry_after_ms"
}))

export const ResumePoint = Schema.Struct({
  _tag: Schema.Literal(4).transform("ResumePoint"),
  /** Of the last stored chunk; 0 when there is none. */
  seq: Count,
  bets: Count,
  /** SHA-256 (hex) of the stored bets' CSV lines. */
  digest: Schema.String,
  finished: Schema.Boolean,
  /** The draw that is being sold for. A central from before draws had names doesn't say it. */
  draw: Schema.optionalKey(DrawName)
}).pipe(Schema.encodeKeys({ _tag: "type_message" }))

export const WinnersNotReady = Schema.Struct({
  _tag: Schema.Literal(5).transform("WinnersNotReady"),
  retryAfterMs: Count
}).pipe(Schema.encodeKeys({ _tag: "type_message", retryAfterMs: "retry_after_ms" }))

export const ErrorAnswer = Schema.Struct({
  _tag: Schema.Literal(6).transform("ErrorAnswer"),
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

type JsonValue = string | number | boolean | null | ReadonlyArray<string | FiveFields>
type WireObject = { readonly [key: string]: JsonValue | undefined }

/** Optional keys may also be undefined: callers have `seq: number | undefined` at hand. */
type Loosely<A> = A extends unknown
  ? { readonly [K in keyof A]: object extends Pick<A, K> ? A[K] | undefined : A[K] }
  : never

const utf8 = new TextEncoder()

const unicodeEscape = (unit: string): string =>
  `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`

/** A flat object as Python's json.dumps writes it: keys without a value left out, nothing above 0x7e. */
const asciiFrame = (wire: WireObject): Uint8Array => {
  const pairs: Array<string> = []
  for (const [key, value] of Object.entries(wire)) {
    if (value !== undefined) pairs.push(`"${key}": ${JSON.stringify(value)}`)
  }
  const json = `{${pairs.join(", ")}}`
  return encodeFrame(utf8.encode(json.replace(/[\u007f-\uffff]/g, unicodeEscape)))
}

const wireOfAnswer = (answer: Loosely<Answer>): WireObject => {
  switch (answer._tag) {
    case "ChunkProcessed":
      return {
        type_message: 1,
        payload: null,
        seq: answer.seq,
        duplicate: answer.duplicate,
        draw: answer.draw
      }
    case "InformAgencyWinners":
      return { type_message: 2, payload: answer.documents.join(",") }
    case "ChunkRejected":
      return {
        type_message: 3,
        payload: null,
        seq: answer.seq,
        code: answer.code,
        index: answer.index,
        expected_seq: answer.expectedSeq,
        retry_after_ms: answer.retryAfterMs,
        message: answer.message
      }
    case "ResumePoint": {
      const { bets, digest, draw, finished, seq } = answer
      return { type_message: 4, seq, bets, digest, finished, draw }
    }
    case "WinnersNotReady":
      return { type_message: 5, payload: null, retry_after_ms: answer.retryAfterMs }
    case "ErrorAnswer":
      return { type_message: 6, payload: null, code: answer.code, message: answer.message }
  }
}

const wireOfRequest = (request: Loosely<Request>): WireObject => {
  const { agency } = request
  switch (request._tag) {
    case "SendChunk":
    case "SendLastChunk": {
      const type = request._tag === "SendChunk" ? 1 : 2
      return {
        type_message: type,
        agency,
        seq: request.seq,
        payload: request.bets.map(payloadItem)
      }
    }
    case "ConsultWinners": {
      // Waiting is what a server without `wait` does anyway.
      const wait = request.wait ? undefined : false
      return { type_message: 3, agency, payload: null, wait }
    }
    case "Resume":
      return { type_message: 4, agency }
  }
}

/** The answer to every chunk without `seq`, as a whole frame. Shared: it must not be changed. */
export const chunkProcessedFrame: Uint8Array = asciiFrame(wireOfAnswer({ _tag: "ChunkProcessed" }))

/** A whole frame, header and body in one piece. */
export const encodeAnswer = (answer: Loosely<Answer>): Uint8Array => {
  if (answer._tag !== "ChunkProcessed" || answer.duplicate || answer.draw !== undefined) {
    return asciiFrame(wireOfAnswer(answer))
  }
  return answer.seq === undefined
    ? chunkProcessedFrame
    : encodeFrame(utf8.encode(`{"type_message": 1, "payload": null, "seq": ${answer.seq}}`))
}

/** A whole frame, header and body in one piece. */
export const encodeRequest = (request: Loosely<Request>): Uint8Array =>
  asciiFrame(wireOfRequest(request))

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
