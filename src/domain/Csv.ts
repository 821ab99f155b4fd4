/**
 * CSV as this trade writes it: no header, minimal RFC 4180 quoting (a field is quoted only when it holds a comma, a quote,
 * CR or LF), CRLF line ends. The export has six fields, `agency,first,last,document,birthdate,number`; an agency's own
 * bet file has five, without the agency, and is read leniently: CRLF or LF, the final line end optional, a UTF-8 byte
 * order mark skipped. No Effect here: export and digest run off the main thread.
 */
import { betFields } from "./BetRules.ts"
import { countBets, lineFeed, tab } from "./Chunk.ts"

const quote = 0x22
const comma = 0x2c
const carriageReturn = 0x0d

export const csvField = (text: string): string =>
  /[",\r\n]/.test(text) ? `"${text.replaceAll("\"", "\"\"")}"` : text

/** One line of the bet file, CRLF included. */
export const csvLine = (agency: number, fields: ReadonlyArray<string>): string =>
  `${[String(agency), ...fields].map(csvField).join(",")}\r\n`

const utf8 = new TextEncoder()
const utf8Decoder = new TextDecoder("utf-8", { ignoreBOM: true })

const csvOfAwkwardBody = (agency: number, body: Uint8Array): Uint8Array => {
  let text = ""
  const records = utf8Decoder.decode(body).split(String.fromCharCode(lineFeed))
  for (const record of records.slice(0, -1)) {
    text += csvLine(agency, record.split(String.fromCharCode(tab)))
  }
  return utf8.encode(text)
}

/**
 * The bet file's lines of a stored body (domain/Chunk.ts), which must end at a bet's end. A body without quote and
 * comma, nearly every one, is copied with its separators replaced and never becomes text.
 */
export const csvOfBody = (agency: number, body: Uint8Array): Uint8Array => {
  if (body.includes(quote) || body.includes(comma)) return csvOfAwkwardBody(agency, body)
  const prefix = utf8.encode(`${agency},`)
  const csv = new Uint8Array(body.length + countBets(body) * (prefix.length + 1))
  let write = 0
  let lineBegins = true
  for (let read = 0; read < body.length; read++) {
    if (lineBegins) {
      for (let index = 0; index < prefix.length; index++) csv[write++] = prefix[index] ?? 0
      lineBegins = false
    }
    const byte = body[read] ?? 0
    if (byte === tab) csv[write++] = comma
    else if (byte === lineFeed) {
      csv[write++] = carriageReturn
      csv[write++] = lineFeed
      lineBegins = true
    } else csv[write++] = byte
  }
  return csv
}

/** The longest line that is taken: five fields of legal length, quoted throughout, are far below. */
export const lineCharactersMax = 4096

/** What the reader found. `line` counts from 1: the line on which the record begins. */
export type CsvStep =
  | { readonly _tag: "Record"; readonly line: number; readonly fields: ReadonlyArray<string> }
  /** Nothing after it can be trusted. The problem names no value. */
  | { readonly _tag: "Fault"; readonly line: number; readonly problem: string }

/**
 * Reads a bet file piece by piece: text goes in as it comes (decode it with a streaming TextDecoder), records come out,
 * and any split of the text gives the same records. After a fault it yields nothing more.
 */
export class CsvReader {
  #state: "start" | "plain" | "quoted" | "closed" | "return" | "faulted" = "start"
  #line = 1
  #recordLine = 1
  #characters = 0
  #fields: Array<string> = []
  #field = ""
  #begun = false

  /** The records that the text completes. */
  push(text: string): ReadonlyArray<CsvStep> {
    const steps: Array<CsvStep> = []
    for (let at = 0; at < text.length && this.#state !== "faulted"; at++) {
      // A byte order mark, where the decoder has left it in.
      if (text.charCodeAt(at) === 0xfeff && !this.#begun) {
        this.#begun = true
        continue
      }
      this.#begun = true
      this.#take(text.charAt(at), steps)
    }
    return steps
  }

  /** The last record, when the text doesn't end in a line end. */
  end(): ReadonlyArray<CsvStep> {
    const steps: Array<CsvStep> = []
    if (this.#state === "quoted") this.#fail("a quoted field is not closed", steps)
    else if (this.#state === "return") this.#fail("a carriage return without a line feed", steps)
    else if (this.#state !== "faulted" && this.#characters > 0) this.#endRecord(steps)
    return steps
  }

  #take(character: string, steps: Array<CsvStep>): void {
    if (++this.#characters > lineCharactersMax) return this.#fail("the line is too long", steps)
    switch (this.#state) {
      case "quoted":
        if (character === "\"") this.#state = "closed"
        else {
          if (character === "\n") this.#line++
          this.#field += character
        }
        return
      case "return":
        return character === "\n"
          ? this.#endRecord(steps)
          : this.#fail("a carriage return without a line feed", steps)
      case "closed":
        if (character === "\"") {
          this.#field += character
          this.#state = "quoted"
          return
        }
        return this.#takeSeparator(character)
          ? this.#separate(character, steps)
          : this.#fail("text after a closing quote", steps)
      default:
        if (this.#takeSeparator(character)) return this.#separate(character, steps)
        if (character !== "\"") {
          this.#field += character
          this.#state = "plain"
        } else if (this.#state === "start") this.#state = "quoted"
        else this.#fail("a quote inside an unquoted field", steps)
    }
  }

  #takeSeparator(character: string): boolean {
    return character === "," || character === "\r" || character === "\n"
  }

  #separate(character: string, steps: Array<CsvStep>): void {
    if (character === "\n") return this.#endRecord(steps)
    if (character === "\r") this.#state = "return"
    else {
      this.#fields.push(this.#field)
      this.#field = ""
      this.#state = "start"
    }
  }

  #endRecord(steps: Array<CsvStep>): void {
    const fields = [...this.#fields, this.#field]
    if (fields.length !== betFields.length) {
      return this.#fail(`${fields.length} fields instead of ${betFields.length}`, steps)
    }
    steps.push({ _tag: "Record", line: this.#recordLine, fields })
    this.#fields = []
    this.#field = ""
    this.#state = "start"
    this.#characters = 0
    this.#recordLine = ++this.#line
  }

  #fail(problem: string, steps: Array<CsvStep>): void {
    steps.push({ _tag: "Fault", line: this.#recordLine, problem })
    this.#state = "faulted"
  }
}

/** A whole bet file at once. The first fault is the last step. */
export const parseCsv = (text: string): ReadonlyArray<CsvStep> => {
  const reader = new CsvReader()
  return [...reader.push(text), ...reader.end()]
}
