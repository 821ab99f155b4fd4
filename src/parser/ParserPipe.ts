/**
 * The records between the server and a parser child, over one duplex pipe (the child's fd 3). Integers are
 * big-endian; N counts the bytes after itself, so that FrameDecoder splits either stream into records.
 *
 *     request    0    4    8
 *                │ N  │ id │ the frame's body …
 *
 *     response   0    4    8      9       10     12       20    28      32
 *                │ N  │ id │ kind │ flags │ code │ agency │ seq │ count │ tail …
 *
 *     kind       1 Chunk     count: how many bets; tail: numbers (2 × count bytes), then body
 *                2 Resume
 *                3 WrongPort
 *                4 Refused   code: index of {@link refusalCodes}; count: the bet's index; tail: message, UTF-8
 *     flags      1 last   2 agency is present   4 seq is present   8 the bet's index is present
 *     agency and seq are float64: safe integers from 1, and 0 where their flag isn't set
 *
 *     notice     0    4        5
 *                │ 1  │ notice │     1 Ready   2 Outgrown
 *
 * A response answers the request with the same id; a child answers in order. A notice is what a child says unasked:
 * that it takes requests from now on, and that it has outgrown its memory and wants to be replaced.
 *
 * Bulk comes last, so that decoding gives views and copies nothing. Decoders give undefined for anything that the
 * encoders don't write, and never throw: a child that writes such a thing is broken.
 */
import { sizesAgree } from "../domain/BetRecord.ts"
import type { Chunk, Parsed, ParseRefusal } from "../domain/Chunk.ts"
import { frameBytesCeiling, frameHeaderBytes } from "../domain/Limits.ts"
import { RecordBatch, viewOf } from "./RecordBatch.ts"

const idBytes = 4
/** The id after this one. Ids only have to differ among the requests that wait for their answer. */
export const idAfter = (id: number): number => (id + 1) >>> 0

/** The longest request, without N. */
export const requestBytesMax = idBytes + frameBytesCeiling
/** The fixed part of a response, without N. */
const fixedBytes = 28
/** The longest response, without N: a chunk's numbers and body together are shorter than the frame they came from. */
export const responseBytesMax = fixedBytes + frameBytesCeiling

const kinds = { chunk: 1, resume: 2, wrongPort: 3, refused: 4 } as const
const flag = { last: 1, agency: 2, seq: 4, index: 8 } as const
const allFlags = flag.last | flag.agency | flag.seq | flag.index
const refusalCodes = ["INVALID_MESSAGE", "INVALID_BET"] as const satisfies ReadonlyArray<
  ParseRefusal["code"]
>

const noBytes = new Uint8Array(0)
const utf8 = new TextEncoder()
const utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** A request in two pieces, so that a long frame can be written without being copied. */
export const encodeRequest = (
  id: number,
  frameBody: Uint8Array
): readonly [header: Uint8Array, body: Uint8Array] => {
  const header = new Uint8Array(frameHeaderBytes + idBytes)
  const view = viewOf(header)
  view.setUint32(0, idBytes + frameBody.length)
  view.setUint32(frameHeaderBytes, id)
  return [header, frameBody]
}

/** A request without its length; undefined when it is too short to hold an id. */
export const decodeRequest = (
  record: Uint8Array
): { readonly id: number; readonly body: Uint8Array } | undefined =>
  record.length < idBytes
    ? undefined
    : { id: viewOf(record).getUint32(0), body: record.subarray(idBytes) }

/** What a child says unasked. */
export type Notice = "Ready" | "Outgrown"

const noticeBytes = 1
const noticeCodes = { Ready: 1, Outgrown: 2 } as const satisfies Readonly<Record<Notice, number>>

/** A whole notice, length included. */
export const encodeNotice = (notice: Notice): Uint8Array => {
  const batch = new ResponseBatch(frameHeaderBytes + noticeBytes)
  batch.addNotice(notice)
  return batch.take()
}

/** A notice without its length; undefined for any other record. */
export const decodeNotice = (record: Uint8Array): Notice | undefined => {
  if (record.length !== noticeBytes) return undefined
  if (record[0] === noticeCodes.Ready) return "Ready"
  return record[0] === noticeCodes.Outgrown ? "Outgrown" : undefined
}

interface Fixed {
  readonly kind: number
  readonly flags: number
  readonly code: number
  readonly agency: number
  readonly seq: number
  readonly count: number
}

/** A response but for its id and length. `head` and `tail` follow the fixed part. */
interface Response {
  readonly fixed: Fixed
  readonly head: Uint8Array
  readonly tail: Uint8Array
}

const empty: Fixed = { kind: 0, flags: 0, code: 0, agency: 0, seq: 0, count: 0 }

const agencyAndSeq = (
  { agency, seq }: { readonly agency: number | undefined; readonly seq: number | undefined }
): { readonly flags: number; readonly agency: number; readonly seq: number } => ({
  flags: (agency === undefined ? 0 : flag.agency) | (seq === undefined ? 0 : flag.seq),
  agency: agency ?? 0,
  seq: seq ?? 0
})

const responseOf = (parsed: Parsed): Response => {
  switch (parsed._tag) {
    case "Chunk": {
      const origin = agencyAndSeq(parsed)
      const flags = origin.flags | (parsed.last ? flag.last : 0)
      const fixed = { ...empty, ...origin, kind: kinds.chunk, flags, count: parsed.bets }
      return { fixed, head: parsed.numbers, tail: parsed.body }
    }
    case "Resume": {
      const fixed = { ...empty, kind: kinds.resume, flags: flag.agency, agency: parsed.agency }
      return { fixed, head: noBytes, tail: noBytes }
    }
    case "WrongPort": {
      const origin = agencyAndSeq({ agency: parsed.agency, seq: undefined })
      return { fixed: { ...empty, ...origin, kind: kinds.wrongPort }, head: noBytes, tail: noBytes }
    }
    case "Refused": {
      const origin = agencyAndSeq(parsed)
      const flags = origin.flags | (parsed.index === undefined ? 0 : flag.index)
      const code = refusalCodes.indexOf(parsed.code)
      const fixed = { ...origin, kind: kinds.refused, flags, code, count: parsed.index ?? 0 }
      return { fixed, head: noBytes, tail: utf8.encode(parsed.message) }
    }
  }
}

/** Whole requests, length included; {@link RequestBatch.add} copies the frame. */
export class RequestBatch extends RecordBatch {
  add(id: number, frameBody: Uint8Array): void {
    const at = this.append(idBytes + frameBody.length)
    this.view.setUint32(at, id)
    this.bytes.set(frameBody, at + idBytes)
  }
}

/** Whole responses and notices, length included; {@link ResponseBatch.add} copies the chunk's bytes. */
export class ResponseBatch extends RecordBatch {
  add(id: number, parsed: Parsed): void {
    const { fixed, head, tail } = responseOf(parsed)
    const at = this.append(fixedBytes + head.length + tail.length)
    const view = this.view
    view.setUint32(at, id)
    view.setUint8(at + 4, fixed.kind)
    view.setUint8(at + 5, fixed.flags)
    view.setUint16(at + 6, fixed.code)
    view.setFloat64(at + 8, fixed.agency)
    view.setFloat64(at + 16, fixed.seq)
    view.setUint32(at + 24, fixed.count)
    this.bytes.set(head, at + fixedBytes)
    this.bytes.set(tail, at + fixedBytes + head.length)
  }

  addNotice(notice: Notice): void {
    const at = this.append(noticeBytes)
    this.view.setUint8(at, noticeCodes[notice])
  }
}

/** A whole response, length included, in one piece of its own. */
export const encodeResponse = (id: number, parsed: Parsed): Uint8Array => {
  const batch = new ResponseBatch(frameHeaderBytes + fixedBytes)
  batch.add(id, parsed)
  return batch.take()
}

const isCounter = (value: number): boolean => Number.isSafeInteger(value) && value >= 1

/** A field whose flag isn't set is 0; one whose flag is set is a counter. */
const fits = (value: number, present: boolean): boolean => present ? isCounter(value) : value === 0

const decodeChunk = (fixed: Fixed, tail: Uint8Array): ({ _tag: "Chunk" } & Chunk) | undefined => {
  const { agency, seq, flags, count } = fixed
  if ((flags & flag.agency) === 0 || (flags & flag.index) !== 0 || fixed.code !== 0) {
    return undefined
  }
  const numbers = tail.subarray(0, 2 * count)
  const body = tail.subarray(2 * count)
  if (!sizesAgree(count, numbers, body)) return undefined
  return {
    _tag: "Chunk",
    agency,
    seq: (flags & flag.seq) === 0 ? undefined : seq,
    last: (flags & flag.last) !== 0,
    bets: count,
    numbers,
    body
  }
}

const decodeRefusal = (fixed: Fixed, tail: Uint8Array): ParseRefusal | undefined => {
  const { agency, seq, flags, count } = fixed
  const code = refusalCodes[fixed.code]
  const indexed = (flags & flag.index) !== 0
  if (code === undefined || (flags & flag.last) !== 0 || (!indexed && count !== 0)) return undefined
  return {
    _tag: "Refused",
    code,
    agency: (flags & flag.agency) === 0 ? undefined : agency,
    seq: (flags & flag.seq) === 0 ? undefined : seq,
    index: indexed ? count : undefined,
    message: utf8Decoder.decode(tail)
  }
}

const decodeKind = (fixed: Fixed, tail: Uint8Array): Parsed | undefined => {
  switch (fixed.kind) {
    case kinds.chunk:
      return decodeChunk(fixed, tail)
    case kinds.refused:
      return decodeRefusal(fixed, tail)
    case kinds.resume:
      return fixed.flags === flag.agency && fixed.code === 0 && fixed.count === 0
          && tail.length === 0
        ? { _tag: "Resume", agency: fixed.agency }
        : undefined
    case kinds.wrongPort:
      return (fixed.flags & ~flag.agency) === 0 && fixed.code === 0 && fixed.count === 0
          && tail.length === 0
        ? { _tag: "WrongPort", agency: fixed.flags === 0 ? undefined : fixed.agency }
        : undefined
    default:
      return undefined
  }
}

/** A response without its length, as views of it; undefined for any other record. */
export const decodeResponse = (
  record: Uint8Array
): { readonly id: number; readonly parsed: Parsed } | undefined => {
  if (record.length < fixedBytes || record.length > responseBytesMax) return undefined
  const view = viewOf(record)
  const fixed: Fixed = {
    kind: view.getUint8(4),
    flags: view.getUint8(5),
    code: view.getUint16(6),
    agency: view.getFloat64(8),
    seq: view.getFloat64(16),
    count: view.getUint32(24)
  }
  if ((fixed.flags & ~allFlags) !== 0) return undefined
  if (!fits(fixed.agency, (fixed.flags & flag.agency) !== 0)) return undefined
  if (!fits(fixed.seq, (fixed.flags & flag.seq) !== 0)) return undefined
  try {
    const parsed = decodeKind(fixed, record.subarray(fixedBytes))
    return parsed === undefined ? undefined : { id: view.getUint32(0), parsed }
  } catch {
    // The only thing that throws is a refusal's message that isn't UTF-8.
    return undefined
  }
}
