/**
 * The same bets, encoded beforehand as each system wants them. A request is one chunk of bets; the load generator
 * repeats the requests of a file. `%%%%%%` stands for the number of the connection that sends it.
 */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import type { FiveFields } from "../src/domain/Bet.ts"
import { generateBets } from "../src/services/trial/Generate.ts"

const requestsMin = 64
const requestsMax = 4096
const betsWanted = 65_536

/** How the load generator tells the systems apart. */
export type Protocol = "lottery" | "redis" | "postgres" | "nats"

export interface Encoding {
  readonly name: string
  readonly protocol: Protocol
  /** One chunk; `agency` is for systems in which any connection may speak for any agency. */
  readonly encode: (bets: ReadonlyArray<FiveFields>, agency: number) => Buffer
  /** The number of answers to a chunk with that many bets. */
  readonly answers: (bets: number) => number
  /** Sent once on every connection, and the number of answers to it. */
  readonly hello?: { readonly bytes: Buffer; readonly answers: number }
}

const single = () => 1
const perBet = (bets: number) => bets

/** Names that agencies in the field can send: none with a comma. */
const pool = (count: number): ReadonlyArray<FiveFields> => {
  const bets: Array<FiveFields> = []
  for (const bet of generateBets(1, 1, 2 * count + 100)) {
    if (bets.length === count) break
    if (!bet.some((field) => field.includes(","))) bets.push(bet)
  }
  return bets
}

/** As Python's json.dumps writes it, which the field's agencies use: escaped, a space after each separator. */
const asciiJson = (text: string): string =>
  JSON.stringify(text).replace(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
  )

const payload = (bets: ReadonlyArray<FiveFields>): string =>
  `"payload": [${bets.map((bet) => asciiJson(bet.join(","))).join(", ")}]}`

const wholeChunk = (bets: ReadonlyArray<FiveFields>, agency: number): string =>
  `{"type_message": 1, "agency": "${agency}", ${payload(bets)}`

export const lottery: Encoding = {
  name: "lottery",
  protocol: "lottery",
  encode: (bets) => Buffer.from(payload(bets)),
  answers: single
}

// ---- Redis: RESP arrays of bulk strings --------------------------------------------------------------------------

const command = (...words: ReadonlyArray<string>): Buffer =>
  Buffer.from(
    `*${words.length}\r\n${
      words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")
    }`
  )

const redisFields = ["first", "last", "document", "birthdate", "number"]

export const redisEntries: Encoding = {
  name: "redis-entries",
  protocol: "redis",
  encode: (bets, agency) =>
    Buffer.concat(bets.map((bet) => {
      const fields = bet.flatMap((value, at) => [redisFields[at] ?? "", value])
      return command("XADD", "bets", "*", "agency", String(agency), ...fields)
    })),
  answers: perBet
}

export const redisChunks: Encoding = {
  name: "redis-chunks",
  protocol: "redis",
  encode: (bets, agency) => command("XADD", "bets", "*", "chunk", wholeChunk(bets, agency)),
  answers: single
}

// ---- PostgreSQL: messages of its wire protocol, version 3 --------------------------------------------------------

const message = (type: string, ...body: ReadonlyArray<Buffer>): Buffer => {
  const header = Buffer.alloc(type.length + 4)
  header.write(type)
  header.writeUInt32BE(4 + body.reduce((sum, { length }) => sum + length, 0), type.length)
  return Buffer.concat([header, ...body])
}

const text = (value: string): Buffer => Buffer.from(`${value}\0`)
const int16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255])
const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

const startup = message(
  "",
  int32(196_608),
  text("user"),
  text("postgres"),
  text("database"),
  text("postgres"),
  Buffer.alloc(1)
)

/** The primary key is the least that an application's table has. */
export const postgresTable =
  "CREATE TABLE bet (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, agency integer NOT NULL, "
  + "first_name text NOT NULL, last_name text NOT NULL, document text NOT NULL, birthdate date NOT NULL, "
  + "number integer NOT NULL)"
const columns = "bet (agency, first_name, last_name, document, birthdate, number)"
const columnTypes = ["int", "text", "text", "text", "date", "int"]

/** Parameters in text. */
const bind = (values: ReadonlyArray<string>): Buffer => {
  const parameters = values.flatMap((value) => {
    const bytes = Buffer.from(value)
    return [int32(bytes.length), bytes]
  })
  const name = text("insert")
  return message("B", text(""), name, int16(0), int16(values.length), ...parameters, int16(0))
}
const execute = message("E", text(""), int32(0))
/** Ends the implicit transaction of all messages before it. */
const sync = message("S")

const prepared = (statement: string) => ({
  bytes: Buffer.concat([startup, message("P", text("insert"), text(statement), int16(0)), sync]),
  answers: 2
})

/** COPY, the fastest way according to the manual. One statement is one transaction. */
export const postgresCopy: Encoding = {
  name: "postgres-copy",
  protocol: "postgres",
  encode: (bets, agency) => {
    const lines = bets.map((bet) => [agency, ...bet].join("\t").replaceAll("\\", "\\\\"))
    return Buffer.concat([
      message("Q", text(`COPY ${columns} FROM STDIN`)),
      message("d", Buffer.from(lines.map((line) => `${line}\n`).join(""))),
      message("c")
    ])
  },
  answers: single,
  hello: { bytes: startup, answers: 1 }
}

/** A prepared INSERT for each row, pipelined, all of a chunk in one transaction. */
export const postgresRows: Encoding = {
  name: "postgres-rows",
  protocol: "postgres",
  encode: (bets, agency) =>
    Buffer.concat([...bets.flatMap((bet) => [bind([String(agency), ...bet]), execute]), sync]),
  answers: single,
  hello: prepared(
    `INSERT INTO ${columns} VALUES (${columnTypes.map((_, at) => `$${at + 1}`).join(", ")})`
  )
}

const arrayLiteral = (values: ReadonlyArray<string>): string =>
  `{${values.map((value) => `"${value.replace(/["\\]/g, "\\$&")}"`).join(",")}}`

/** A prepared INSERT of all rows at once, the columns as arrays. */
export const postgresArrays: Encoding = {
  name: "postgres-arrays",
  protocol: "postgres",
  encode: (bets, agency) => {
    const rows = bets.map((bet) => [String(agency), ...bet])
    const arrays = columnTypes.map((_, at) => arrayLiteral(rows.map((row) => row[at] ?? "")))
    return Buffer.concat([bind(arrays), execute, sync])
  },
  answers: single,
  hello: prepared(
    `INSERT INTO ${columns} SELECT * FROM unnest(${
      columnTypes.map((type, at) => `$${at + 1}::${type}[]`).join(", ")
    })`
  )
}

// ---- NATS JetStream: PUB with a reply subject, on which the server says that it has stored the message ------------

const publish = (agency: number, body: string): string =>
  `PUB bets.${agency} _INBOX.%%%%%% ${Buffer.byteLength(body)}\r\n${body}\r\n`

const natsHello = {
  bytes: Buffer.from("CONNECT {\"verbose\":false}\r\nSUB _INBOX.%%%%%% 1\r\nPING\r\n"),
  answers: 1
}

export const natsEntries: Encoding = {
  name: "nats-entries",
  protocol: "nats",
  encode: (bets, agency) =>
    Buffer.from(bets.map((bet) => publish(agency, [agency, ...bet].join(","))).join("")),
  answers: perBet,
  hello: natsHello
}

export const natsChunks: Encoding = {
  name: "nats-chunks",
  protocol: "nats",
  encode: (bets, agency) => Buffer.from(publish(agency, wholeChunk(bets, agency))),
  answers: single,
  hello: natsHello
}

// ---- Files -------------------------------------------------------------------------------------------------------

export interface RequestFiles {
  readonly encoding: Encoding
  readonly bets: number
  readonly requests: string
  readonly hello: string | undefined
}

const written = new Map<string, Promise<RequestFiles>>()

const write = async (folder: string, encoding: Encoding, bets: number): Promise<RequestFiles> => {
  const count = Math.min(requestsMax, Math.max(requestsMin, Math.round(betsWanted / bets)))
  const all = pool(count * bets)
  const pieces: Array<Buffer> = []
  for (let at = 0; at < count; at++) {
    const request = encoding.encode(all.slice(at * bets, (at + 1) * bets), 1 + at % 50)
    pieces.push(int32(request.length), request)
  }
  const requests = join(folder, `${encoding.name}-${bets}.requests`)
  await writeFile(requests, Buffer.concat(pieces))
  if (encoding.hello === undefined) return { encoding, bets, requests, hello: undefined }
  const hello = join(folder, `${encoding.name}.hello`)
  await writeFile(hello, encoding.hello.bytes)
  return { encoding, bets, requests, hello }
}

/** The requests of an encoding in a file, written once. */
export const requestFiles = (
  folder: string,
  encoding: Encoding,
  bets: number
): Promise<RequestFiles> => {
  const key = `${folder} ${encoding.name} ${bets}`
  const files = written.get(key) ?? write(folder, encoding, bets)
  written.set(key, files)
  return files
}
