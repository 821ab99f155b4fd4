/**
 * Reads one message of the bets port with JSON.parse. This is the specification of what is accepted, and the only path
 * that refuses: ChunkScanner, the fast path for what agencies usually send, leaves everything else to it. Refusals name
 * the field and the bet's index, never a value, since values are personal data.
 */
import { recordOf } from "../domain/BetRecord.ts"
import { betFields, invalidField } from "../domain/BetRules.ts"
import type { Parsed, ParseRefusal } from "../domain/Chunk.ts"

/** A byte order mark isn't JSON: the decoder keeps it, so that JSON.parse refuses it. */
const utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const utf8 = new TextEncoder()

type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** An integer from 1 as either dialect writes it: a number, or a string of decimal digits. */
const counterOf = (value: unknown): number | undefined => {
  const counter = typeof value === "string" && /^[1-9]\d*$/.test(value) ? Number(value) : value
  return typeof counter === "number" && Number.isSafeInteger(counter) && counter >= 1
    ? counter
    : undefined
}

/** Only clients that know `seq` send one, and they send a number. */
const seqOf = (value: unknown): number | undefined =>
  typeof value === "number" ? counterOf(value) : undefined

const parseJson = (body: Uint8Array): unknown => {
  try {
    return JSON.parse(utf8Decoder.decode(body))
  } catch {
    // Not UTF-8, not JSON, or nested too deep for the JSON parser.
    return undefined
  }
}

const isFive = (item: unknown): item is ReadonlyArray<string> =>
  Array.isArray(item) && item.length === betFields.length
  && item.every((field) => typeof field === "string")

/** The five fields of a payload item in either form; undefined for anything else. */
const fieldsOf = (item: unknown): ReadonlyArray<string> | undefined => {
  const fields: unknown = typeof item === "string" ? item.split(",", betFields.length + 1) : item
  return isFive(fields) ? fields : undefined
}

interface Origin {
  readonly agency: number | undefined
  readonly seq: number | undefined
}

const invalidMessage = (message: string, { agency, seq }: Origin): ParseRefusal => ({
  _tag: "Refused",
  code: "INVALID_MESSAGE",
  agency,
  seq,
  index: undefined,
  message
})

const invalidBet = (index: number, problem: string, { agency, seq }: Origin): ParseRefusal => ({
  _tag: "Refused",
  code: "INVALID_BET",
  agency,
  seq,
  index,
  message: `bet ${index}: ${problem}`
})

const readBets = (
  payload: ReadonlyArray<unknown>,
  origin: Origin & { readonly agency: number },
  last: boolean
): Parsed => {
  const numbers = new Uint8Array(2 * payload.length)
  let text = ""
  for (const [index, item] of payload.entries()) {
    const fields = fieldsOf(item)
    if (fields === undefined) {
      return invalidBet(index, "not five fields separated by commas, nor five strings", origin)
    }
    const field = invalidField(fields)
    if (field !== undefined) return invalidBet(index, `the ${field} is not valid`, origin)
    const number = Number(fields[4])
    numbers[2 * index] = number >> 8
    numbers[2 * index + 1] = number & 0xff
    text += recordOf(fields)
  }
  const body = utf8.encode(text)
  return { _tag: "Chunk", ...origin, last, bets: payload.length, numbers, body }
}

/** Parses the body of a frame on the bets port. Never throws. */
export const readMessage = (body: Uint8Array): Parsed => {
  const root = parseJson(body)
  if (!isObject(root)) {
    return invalidMessage("not a JSON object in UTF-8", { agency: undefined, seq: undefined })
  }
  const type = counterOf(root["type_message"])
  const agency = counterOf(root["agency"])
  const seq = seqOf(root["seq"])
  const refuse = (problem: string) => invalidMessage(problem, { agency, seq })
  if (type === 3) return { _tag: "WrongPort", agency }
  if (type !== 1 && type !== 2 && type !== 4) return refuse("type_message is not one of this port")
  if (agency === undefined) return refuse("agency is not a positive integer")
  if (type === 4) return { _tag: "Resume", agency }
  if (root["seq"] !== undefined && seq === undefined) return refuse("seq is not a positive integer")
  const payload: unknown = root["payload"]
  if (!Array.isArray(payload)) return refuse("payload is not an array")
  return readBets(payload, { agency, seq }, type === 2)
}
