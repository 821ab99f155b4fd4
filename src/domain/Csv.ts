/**
 * CSV as this trade writes it: no header, minimal RFC 4180 quoting (a field is quoted only when it holds a comma, a quote,
 * CR or LF), CRLF line ends. The export has six fields, `agency,first,last,document,birthdate,number`; an agency's own
 * bet file has five, without the agency, and is read leniently (agency/CsvReader.ts). No Effect here: export and digest
 * run off the main thread.
 */
import * as ascii from "./Ascii.ts"
import { countBets, fieldsOfRecord, splitRecords } from "./BetRecord.ts"

const { carriageReturn, comma, lineFeed, quote, tab } = ascii

export const csvField = (text: string): string =>
  /[",\r\n]/.test(text) ? `"${text.replaceAll("\"", "\"\"")}"` : text

/** One line of the export, CRLF included. */
export const csvLine = (agency: number, fields: ReadonlyArray<string>): string =>
  `${[String(agency), ...fields].map(csvField).join(",")}\r\n`

const utf8 = new TextEncoder()
const utf8Decoder = new TextDecoder("utf-8", { ignoreBOM: true })

const csvOfAwkwardBody = (agency: number, body: Uint8Array): Uint8Array => {
  let text = ""
  for (const record of splitRecords(utf8Decoder.decode(body)).slice(0, -1)) {
    text += csvLine(agency, fieldsOfRecord(record))
  }
  return utf8.encode(text)
}

/**
 * The export's lines of a stored body (Chunk.ts), which must end at a bet's end. A body without quotes and commas, as
 * nearly all are, is copied with its separators replaced, and never becomes text.
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
