/**
 * Reads an agency's bet file (domain/Csv.ts) leniently: CRLF or LF, the final line end optional, a UTF-8 byte order mark
 * skipped. No field of a bet holds a line end, so a line is a bet.
 */
import { carriageReturn, lineFeed } from "../../domain/Ascii.ts"
import { betFields } from "../../domain/BetRules.ts"

/** The longest line: five valid fields, each character quoted, are far below. */
export const lineBytesMax = 16 * 1024

/** What stands on a line, counted from 1. */
export type CsvStep =
  | { readonly _tag: "Record"; readonly line: number; readonly fields: ReadonlyArray<string> }
  /** Not five fields. The problem names no value; `fields` is what could be read. */
  | {
    readonly _tag: "Fault"
    readonly line: number
    readonly problem: string
    readonly fields: ReadonlyArray<string>
  }

type Line =
  | { readonly fields: ReadonlyArray<string>; readonly problem?: undefined }
  | { readonly fields: ReadonlyArray<string>; readonly problem: string }

/** A line with quotes in it. */
const quotedLine = (text: string): Line => {
  const fields: Array<string> = []
  let at = 0
  while (true) {
    if (text[at] !== "\"") {
      const end = text.indexOf(",", at)
      const field = end === -1 ? text.slice(at) : text.slice(at, end)
      fields.push(field)
      if (field.includes("\"")) return { fields, problem: "a quote inside an unquoted field" }
      if (end === -1) return { fields }
      at = end + 1
      continue
    }
    let field = ""
    let from = at + 1
    while (true) {
      const close = text.indexOf("\"", from)
      // No field of a bet holds a line end, so the quote isn't closed on the next line either.
      if (close === -1) {
        return { fields: [...fields, text.slice(from)], problem: "a quoted field is not closed" }
      }
      field += text.slice(from, close)
      from = close + 1
      if (text[from] !== "\"") break
      field += "\""
      from++
    }
    fields.push(field)
    if (from === text.length) return { fields }
    if (text[from] !== ",") return { fields, problem: "text after a closing quote" }
    at = from + 1
  }
}

/** One line without its line end. */
const readLine = (text: string): Line => {
  const line = text.includes("\"") ? quotedLine(text) : { fields: text.split(",") }
  const { fields } = line
  if (line.problem !== undefined) return line
  if (text.includes("\r")) return { fields, problem: "a carriage return without a line feed" }
  if (text === "") return { fields, problem: "the line is empty" }
  if (fields.length === betFields.length) return line
  const found = `${fields.length} ${fields.length === 1 ? "field" : "fields"}`
  return { fields, problem: `${found} instead of ${betFields.length}` }
}

/** The problem of a line whose bytes are not text. */
export const notUtf8 = "not UTF-8"

const utf8 = new TextEncoder()
const lenient = new TextDecoder("latin1")

/**
 * Takes a bet file's bytes piece by piece and gives its lines. However the bytes are split, it gives the same. A line with a
 * fault doesn't affect the next.
 */
export class CsvReader {
  readonly #strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
  #line = 0
  /** The beginning of a line whose end hasn't come. */
  #rest: Uint8Array = new Uint8Array(0)
  /** The rest of a line that was reported as too long is being dropped. */
  #skipping = false

  /** The lines that the bytes complete. */
  push(bytes: Uint8Array): ReadonlyArray<CsvStep> {
    const steps: Array<CsvStep> = []
    let begin = 0
    if (this.#skipping || this.#rest.length > 0) {
      const end = bytes.indexOf(lineFeed)
      begin = end + 1
      if (end === -1) this.#keep(bytes, steps)
      else if (this.#skipping) this.#skipping = false
      else this.#take(joined(this.#rest, bytes.subarray(0, begin)), steps)
      if (end === -1) return steps
      this.#rest = new Uint8Array(0)
    }
    const whole = bytes.lastIndexOf(lineFeed) + 1
    if (whole > begin) this.#take(bytes.subarray(begin, whole), steps)
    this.#keep(bytes.subarray(Math.max(begin, whole)), steps)
    return steps
  }

  /** The last line, if it has no line end. */
  end(): ReadonlyArray<CsvStep> {
    const steps: Array<CsvStep> = []
    if (this.#rest.length === 0) return steps
    const text = this.#decode(this.#rest)
    const mark = text === "\ufeff" && this.#line === 0
    if (!mark) this.#step(text, this.#rest, steps)
    return steps
  }

  /** Keeps the beginning of a line. */
  #keep(bytes: Uint8Array, steps: Array<CsvStep>): void {
    if (this.#skipping || bytes.length === 0) return
    // One more for a carriage return, which isn't part of the line.
    if (this.#rest.length + bytes.length <= lineBytesMax + 1) {
      this.#rest = joined(this.#rest, bytes)
      return
    }
    this.#rest = new Uint8Array(0)
    this.#skipping = true
    steps.push(tooLong(++this.#line))
  }

  /** Takes whole lines. They are decoded together, unless one of them isn't UTF-8. */
  #take(block: Uint8Array, steps: Array<CsvStep>): void {
    const text = this.#decode(block)
    if (text !== undefined) {
      for (let begin = 0; begin < text.length;) {
        const end = text.indexOf("\n", begin)
        const back = text[end - 1] === "\r" && end > begin ? 1 : 0
        this.#step(text.slice(begin, end - back), undefined, steps)
        begin = end + 1
      }
      return
    }
    for (let begin = 0; begin < block.length;) {
      const end = block.indexOf(lineFeed, begin)
      const back = block[end - 1] === carriageReturn && end > begin ? 1 : 0
      const bytes = block.subarray(begin, end - back)
      this.#step(this.#decode(bytes), bytes, steps)
      begin = end + 1
    }
  }

  #decode(bytes: Uint8Array): string | undefined {
    try {
      return this.#strict.decode(bytes)
    } catch {
      return undefined
    }
  }

  /** `text` is undefined when the line's bytes are not UTF-8. */
  #step(text: string | undefined, bytes: Uint8Array | undefined, steps: Array<CsvStep>): void {
    const line = ++this.#line
    if (text === undefined && (bytes?.length ?? 0) <= lineBytesMax) {
      // Its fields can be told apart all the same.
      const { fields } = readLine(lenient.decode(bytes))
      steps.push({ _tag: "Fault", line, problem: notUtf8, fields })
      return
    }
    if (
      text === undefined
      // A unit of UTF-16 takes at most three bytes of UTF-8.
      || (text.length * 3 > lineBytesMax && utf8.encode(text).length > lineBytesMax)
    ) {
      steps.push(tooLong(line))
      return
    }
    const read = readLine(line === 1 && text.startsWith("\ufeff") ? text.slice(1) : text)
    steps.push(
      read.problem === undefined
        ? { _tag: "Record", line, fields: read.fields }
        : { _tag: "Fault", line, problem: read.problem, fields: read.fields }
    )
  }
}

const tooLong = (line: number): CsvStep => ({
  _tag: "Fault",
  line,
  problem: "the line is too long",
  fields: []
})

const joined = (first: Uint8Array, second: Uint8Array): Uint8Array => {
  const both = new Uint8Array(first.length + second.length)
  both.set(first)
  both.set(second, first.length)
  return both
}
