/**
 * What docs/PROTOCOL.md says must be answered to any bytes whatsoever: the judge of the fuzzer. It is written from that
 * document, shares no code with the product, and is as simple as it can be: lists of bets, compared as texts.
 */
import { createHash } from "node:crypto"

/** The longest bodies: of the bets port, and of the consult port. */
export const frameBytesMax = 1024 * 1024
const consultFrameBytesMax = 128 * 1024

type Json = Readonly<Record<string, unknown>>

/** An answer without what people read; compared key by key. */
/** What the central calls its draw. */
export const drawName = "fuzz"

export type Expected = Readonly<Record<string, string | number | boolean>>

type Reading =
  | { readonly kind: "refused"; readonly code: string; readonly index?: number; agency?: number }
  | { readonly kind: "wrong port" }
  | { readonly kind: "resume"; readonly agency: number }
  | {
    readonly kind: "chunk"
    readonly agency: number
    readonly last: boolean
    readonly bets: ReadonlyArray<string>
  }

/** Between a bet's fields; no field can hold it. */
const tab = "\t"

const parse = (body: Uint8Array): Json | undefined => {
  try {
    const root: unknown = JSON.parse(
      new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body)
    )
    return typeof root === "object" && root !== null && !Array.isArray(root)
      ? { ...root }
      : undefined
  } catch {
    return undefined
  }
}

const own = (object: Json, key: string): unknown =>
  Object.hasOwn(object, key) ? object[key] : undefined

const integer = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : undefined

/** As a number or as decimal digits. */
const either = (value: unknown): number | undefined =>
  integer(typeof value === "string" && /^[1-9][0-9]*$/.test(value) ? Number(value) : value)

const isCharacters = (name: string): boolean =>
  name.isWellFormed() && !/\p{Cc}/u.test(name) && name !== "" && [...name].length <= 100

const isDay = (text: string): boolean => {
  if (!/^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(text) || text.startsWith("0000")) return false
  const day = new Date(`${text}T00:00:00Z`)
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text)
}

const betOf = (item: unknown): string | undefined => {
  const fields: unknown = typeof item === "string" ? item.split(",") : item
  if (!Array.isArray(fields) || fields.length !== 5) return undefined
  const texts = fields.filter((field) => typeof field === "string")
  const [first = "", last = "", document = "", birthdate = "", number = ""] = texts
  return texts.length === 5 && isCharacters(first) && isCharacters(last)
      && /^[0-9A-Za-z]{1,20}$/.test(document) && isDay(birthdate) && /^[0-9]{1,4}$/.test(number)
    ? texts.join(tab)
    : undefined
}

const read = (root: Json | undefined): Reading => {
  if (root === undefined) return { kind: "refused", code: "INVALID_MESSAGE" }
  const type = either(own(root, "type_message"))
  const agency = either(own(root, "agency"))
  const invalid: Reading = {
    kind: "refused",
    code: "INVALID_MESSAGE",
    ...(agency === undefined ? {} : { agency })
  }
  if (type === 3) return { kind: "wrong port" }
  if (agency === undefined || (type !== 1 && type !== 2 && type !== 4)) return invalid
  if (type === 4) return { kind: "resume", agency }
  const payload = own(root, "payload")
  const seq = own(root, "seq")
  if (!Array.isArray(payload) || (seq !== undefined && integer(seq) === undefined)) return invalid
  const bets: Array<string> = []
  for (const [index, item] of payload.entries()) {
    const bet = betOf(item)
    if (bet === undefined) return { kind: "refused", code: "INVALID_BET", index, agency }
    bets.push(bet)
  }
  return { kind: "chunk", agency, last: type === 2, bets }
}

interface StoredChunk {
  readonly last: boolean
  readonly bets: ReadonlyArray<string>
  /** How many bets there are with it. */
  readonly total: number
}

/** What one agency has stored. */
export class AgencyModel {
  readonly id: number
  readonly chunks: Array<StoredChunk> = []
  readonly bets: Array<string> = []

  constructor(id: number) {
    this.id = id
  }

  get finished(): boolean {
    return this.chunks.at(-1)?.last ?? false
  }

  store(bets: ReadonlyArray<string>, last: boolean): void {
    for (const bet of bets) this.bets.push(bet)
    this.chunks.push({ last, bets, total: this.bets.length })
  }

  /** Only its first chunks were stored, after all. */
  truncate(chunks: number): void {
    this.chunks.length = Math.min(this.chunks.length, chunks)
    this.bets.length = this.chunks.at(-1)?.total ?? 0
  }

  resumePoint(): Expected {
    const hash = createHash("sha256")
    for (const bet of this.bets) hash.update(line(this.id, bet))
    return {
      type_message: 4,
      seq: this.chunks.length,
      bets: this.bets.length,
      digest: hash.digest("hex"),
      finished: this.finished,
      draw: drawName
    }
  }
}

const line = (agency: number, bet: string): string =>
  `${
    [String(agency), ...bet.split(tab)]
      .map((field) => /[",\r\n]/.test(field) ? `"${field.replaceAll("\"", "\"\"")}"` : field)
      .join(",")
  }\r\n`

/** One connection: give it what is sent, and it knows what must be answered. */
export class ConnectionModel {
  readonly answers: Array<Expected> = []
  /** How many chunks the agency has stored with each of the answers. */
  readonly stored: Array<number> = []
  /** The central closes it by itself. */
  closed = false
  /** A message was sent for an agency of the roster that isn't ours to speak for. */
  foreign = false
  /** A consult that waits for the draw, which never comes. */
  waiting = false
  /** Whether the central knows for whom it speaks. */
  heard = false
  readonly #door: "bets" | "consult"
  readonly #agency: AgencyModel
  readonly #inRoster: (agency: number) => boolean
  /** How many of the stored bets were repeated from the top; undefined once it sells. */
  #repeated: number | undefined = 0
  #repeating = false
  #input = Buffer.alloc(0)

  constructor(
    door: "bets" | "consult",
    agency: AgencyModel,
    inRoster: (agency: number) => boolean
  ) {
    this.#door = door
    this.#agency = agency
    this.#inRoster = inRoster
  }

  /** A frame was begun and isn't whole. */
  get midFrame(): boolean {
    return !this.closed && !this.waiting && this.#input.length > 0
  }

  feed(bytes: Uint8Array): void {
    this.#input = Buffer.concat([this.#input, bytes])
    while (!this.closed && !this.waiting && this.#input.length >= 4) {
      const length = this.#input.readUInt32BE(0)
      if (length === 0) return this.#error("FRAME_EMPTY")
      if (length > (this.#door === "bets" ? frameBytesMax : consultFrameBytesMax)) {
        return this.#error("FRAME_TOO_LARGE")
      }
      if (this.#input.length < 4 + length) return
      const root = parse(this.#input.subarray(4, 4 + length))
      this.#input = this.#input.subarray(4 + length)
      if (this.#door === "bets") this.#bets(root)
      else this.#consult(root)
    }
  }

  #answer(expected: Expected): void {
    this.answers.push(expected)
    this.stored.push(this.#agency.chunks.length)
  }

  #error(code: string): void {
    this.#answer({ type_message: 6, code })
    this.closed = true
  }

  #consult(root: Json | undefined): void {
    const type = root === undefined ? undefined : own(root, "type_message")
    if (type === 1 || type === 2 || type === 4 || type === "1" || type === "2" || type === "4") {
      return this.#error("WRONG_PORT")
    }
    const agency = root === undefined ? undefined : either(own(root, "agency"))
    const wait = root === undefined ? undefined : own(root, "wait")
    if (root === undefined || agency === undefined || (type !== 3 && type !== "3")) {
      return this.#error("INVALID_MESSAGE")
    }
    if (wait !== undefined && typeof wait !== "boolean") return this.#error("INVALID_MESSAGE")
    if (!this.#inRoster(agency)) return this.#error("UNKNOWN_AGENCY")
    this.waiting = wait !== false
    if (this.waiting) return
    this.#answer({ type_message: 5 })
    this.closed = true
  }

  #bets(root: Json | undefined): void {
    const message = read(root)
    const seq = root === undefined ? undefined : integer(own(root, "seq"))
    if (message.kind === "wrong port") return this.#error("WRONG_PORT")
    if (message.agency !== undefined) {
      // The sequence number of RESUME is a key that nobody knows.
      const echoed = message.kind === "resume" ? undefined : seq
      if (this.heard && message.agency !== this.#agency.id) {
        return this.#reject("AGENCY_MISMATCH", echoed)
      }
      if (!this.#inRoster(message.agency)) return this.#reject("UNKNOWN_AGENCY", echoed)
    }
    if (message.kind === "refused") {
      const { code, index } = message
      return this.#reject(code, seq, index === undefined ? {} : { index })
    }
    if (message.agency !== this.#agency.id) this.foreign = true
    this.heard = true
    if (message.kind === "resume") {
      this.#repeated = undefined
      this.#answer(this.#agency.resumePoint())
    } else if (seq === undefined) this.#uncounted(message.bets, message.last)
    else this.#counted(seq, message.bets, message.last)
  }

  #reject(code: string, seq: number | undefined, more: Expected = {}): void {
    this.#answer({ type_message: 3, code, ...(seq === undefined ? {} : { seq }), ...more })
    if (seq === undefined) this.closed = true
  }

  #processed(last: boolean, more: Expected = {}): void {
    const draw = last && more["seq"] !== undefined ? { draw: drawName } : {}
    this.#answer({ type_message: 1, ...more, ...draw })
    if (last) this.closed = true
  }

  #counted(seq: number, bets: ReadonlyArray<string>, last: boolean): void {
    const { chunks, finished } = this.#agency
    const stored = chunks[seq - 1]
    if (stored !== undefined) {
      const same = stored.last === last && stored.bets.length === bets.length
        && stored.bets.every((bet, index) => bet === bets[index])
      if (!same) return this.#reject("SEQUENCE_CONFLICT", seq)
      this.#repeated = undefined
      return this.#processed(last, { seq, duplicate: true })
    }
    if (finished) return this.#reject("AGENCY_FINISHED", seq)
    if (seq > chunks.length + 1) {
      return this.#reject("SEQUENCE_GAP", seq, { expected_seq: chunks.length + 1 })
    }
    this.#store(bets, last)
    this.#processed(last, { seq })
  }

  #uncounted(bets: ReadonlyArray<string>, last: boolean): void {
    const { bets: stored, finished } = this.#agency
    const from = this.#repeated
    const sells = from === undefined || stored.length === 0
      || (!this.#repeating && (bets.length === 0 ? last : bets[0] !== stored[0]))
    if (sells) {
      if (finished && bets.length > 0) return this.#reject("AGENCY_FINISHED", undefined)
      if (finished) this.#repeated = undefined
      else this.#store(bets, last)
      return this.#processed(last)
    }
    if (!this.#repeating && bets.length === 0) return this.#processed(last)
    const known = stored.slice(from, from + bets.length)
    if (known.some((bet, index) => bet !== bets[index])) {
      return this.#reject("REPLAY_MISMATCH", undefined)
    }
    const news = bets.slice(known.length)
    if (news.length > 0 && finished) return this.#reject("AGENCY_FINISHED", undefined)
    if (news.length === 0 && last && from + known.length < stored.length) {
      return this.#reject("REPLAY_MISMATCH", undefined)
    }
    if (news.length > 0 || (last && !finished)) this.#store(news, last)
    else if (last) this.#repeated = undefined
    else {
      this.#repeating = true
      this.#repeated = from + known.length
    }
    this.#processed(last)
  }

  #store(bets: ReadonlyArray<string>, last: boolean): void {
    this.#agency.store(bets, last)
    this.#repeated = undefined
  }
}
