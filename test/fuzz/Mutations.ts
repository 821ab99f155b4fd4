/** Bodies that are almost messages, and bytes that are almost frames. */
import type { Random } from "../simulation/Random.ts"

const utf8 = new TextEncoder()

/** Part of every generated name: it must not appear in any log or answer. */
export const personal = "Quetzal"

const given = [
  "Ana",
  "José",
  "Zoë \"la\"",
  "O'Higgins",
  "李小龍",
  "\u{1f3b2} Dado",
  "a\\b",
  " "
] as const
const days = ["1999-03-17", "2000-02-29", "0001-01-01", "9999-12-31", "1984-02-29"] as const

const bet = (random: Random): ReadonlyArray<string> => [
  `${random.pick(given)}${personal}`,
  random.chance(0.1) ? `Peña, ${personal}, hija` : `Peña ${personal}`,
  String(random.integer(10_000_000, 99_999_999)),
  random.pick(days),
  random.pick(["0", "7", "42", "0042", "999", String(random.integer(0, 7573))])
]

const item = (random: Random): string | ReadonlyArray<string> => {
  const fields = bet(random)
  return random.chance(0.2) || fields[1]?.includes(",") === true ? fields : fields.join(",")
}

/** A valid payload. */
export const payload = (random: Random): Array<string | ReadonlyArray<string>> =>
  Array.from({ length: random.skewed(0, 30) }, () => item(random))

/** As the field writes it (escapes, spaces), as JavaScript does, or with white space wherever it may be. */
export const json = (random: Random, message: unknown): Uint8Array => {
  const text = JSON.stringify(message, undefined, random.pick([0, 0, 0, 1]))
  return utf8.encode(
    random.chance(0.3)
      ? text.replace(
        /[\u007f-\uffff]/g,
        (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
      )
      : text
  )
}

/** Values for any place: JSON texts, some of which aren't JSON. */
const values = [
  "null",
  "true",
  "false",
  "0",
  "-1",
  "1.0",
  "1e0",
  "1.5",
  "1e400",
  "-0",
  "01",
  "9007199254740991",
  "9007199254740992",
  "123456789012345678901234567890",
  "NaN",
  "[]",
  "{}",
  "[[]]",
  "\"\"",
  "\"1\"",
  "\"01\"",
  "\" 1\"",
  "\"1 \"",
  "\"１\"",
  "\"\\u0031\"",
  "\"9999999999999999999999\"",
  "\"\\ud800\"",
  "\"\\udc00\\ud800\"",
  "\"\\u0000\"",
  "{\"__proto__\":{\"seq\":1}}",
  "[null]",
  "[\"a,b,c,d,e\"]",
  "[[\"a\",\"b\",\"c\",\"d\"]]",
  "[[[[[[[[]]]]]]]]",
  "\"constructor\"",
  "undefined"
] as const

/** Texts for any field of a bet, in JSON's spelling; some are valid in some places. */
const fields = [
  "",
  " ",
  "a".repeat(100),
  "a".repeat(101),
  "\u{1f3b2}".repeat(100),
  "\u{1f3b2}".repeat(101),
  "é".repeat(100),
  "\\u0000",
  "\\n",
  "\\t",
  "\\u001f",
  "\u007f",
  "\u0085",
  "\\u0085",
  "\\ud83c\\udfb2",
  "\\ud83c",
  "\\udfb2\\ud83c",
  "\u2028",
  "\ufeff",
  "\\\"",
  "\\\\",
  "\\/",
  "\\x",
  "1234567890123456789a",
  "123456789012345678901",
  "1234-5678",
  "é",
  "2001-02-29",
  "1900-02-29",
  "2000-02-29",
  "1999-13-01",
  "1999-00-10",
  "1999-04-31",
  "0000-01-01",
  "1999-1-1",
  "1999-03-17T00:00:00",
  " 1999-03-17",
  "+0001-1-1",
  "-1",
  "00000",
  "10000",
  "9999",
  "1e3",
  "0x1f",
  "７",
  "7 ",
  "\r\n"
] as const

/** Bytes for any place in a body. */
const splinters: ReadonlyArray<Uint8Array> = [
  ..."{ } [ ] , : \" \\ \" \\u \\ud800 \\udfff null e E - . 0 9 \t \n // /* \ufeff \u2028".split(
    " "
  )
    .map((text) => utf8.encode(text)),
  ...["\"__proto__\":", "\"seq\":", "\"agency\":7,", "\"payload\":[],", "\"seq\":1,"].map((text) =>
    utf8.encode(text)
  ),
  ...[
    [0],
    [0x80],
    [0xc0, 0x80],
    [0xc1, 0xbf],
    [0xe0, 0x9f, 0xbf],
    [0xed, 0xa0, 0x80],
    [0xef, 0xbb, 0xbf],
    [0xf0, 0x8f, 0xbf, 0xbf],
    [0xf4, 0x90, 0x80, 0x80],
    [0xff]
  ].map((bytes) => Uint8Array.from(bytes))
]

const spliced = (bytes: Uint8Array, at: number, removed: number, more: Uint8Array): Uint8Array =>
  Uint8Array.from([...bytes.subarray(0, at), ...more, ...bytes.subarray(at + removed)])

/** One to a few small accidents. */
export const damaged = (random: Random, body: Uint8Array): Uint8Array => {
  let bytes = Uint8Array.from(body)
  for (let times = random.skewed(1, 8); times > 0; times--) {
    const at = random.integer(0, Math.max(0, bytes.length - 1))
    switch (random.integer(0, 6)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random.integer(0, 7))
        break
      case 1:
        bytes = Uint8Array.from(bytes.subarray(0, at))
        break
      case 2:
        bytes = Uint8Array.from(spliced(bytes, at, random.skewed(1, 20), new Uint8Array(0)))
        break
      case 3: {
        const again = bytes.subarray(at, at + random.skewed(1, 60))
        bytes = Uint8Array.from(spliced(bytes, at, 0, again))
        break
      }
      default:
        bytes = Uint8Array.from(
          spliced(
            bytes,
            at,
            random.integer(0, 1),
            splinters[random.integer(0, splinters.length - 1)] ?? bytes
          )
        )
    }
  }
  return bytes
}

export interface Message {
  readonly type: number
  readonly agency: number
  readonly seq: number | undefined
  readonly payload: ReadonlyArray<string | ReadonlyArray<string>>
}

const wrongBet = (random: Random): string => {
  const spelled = bet(random).map((field) => JSON.stringify(field).slice(1, -1))
  spelled[random.integer(0, 4)] = random.pick(fields)
  if (random.chance(0.1)) spelled.push(random.pick(fields))
  if (random.chance(0.1)) spelled.pop()
  if (random.chance(0.5)) return `"${spelled.join(",")}"`
  const texts = spelled.map((field) => `"${field}"`)
  if (random.chance(0.2)) texts[random.integer(0, 4)] = random.pick(values)
  return `[${texts.join(",")}]`
}

/** A message whose members, or one of whose bets, are of wrong types, out of range, missing, or there twice. */
export const perverted = (random: Random, message: Message): Uint8Array => {
  const items = message.payload.map((one) => JSON.stringify(one))
  if (random.chance(0.5)) items.splice(random.integer(0, items.length), 0, wrongBet(random))
  else if (random.chance(0.2)) items.push(random.pick(values))
  const members = [
    ["type_message", random.pick([String(message.type), `"${message.type}"`])],
    ["agency", random.pick([String(message.agency), `"${message.agency}"`])],
    ["payload", `[${items.join(",")}]`],
    ...(message.seq === undefined ? [] : [["seq", String(message.seq)]])
  ]
  const at = random.integer(0, members.length - 1)
  const [key = "seq"] = members[at] ?? []
  switch (random.integer(0, 5)) {
    case 0:
      members[at] = [key, random.pick(values)]
      break
    case 1:
      members.splice(at, 1)
      break
    case 2:
      // Which of the two wins is a matter of their order.
      members.splice(random.integer(0, members.length), 0, [key, random.pick(values)])
      break
    case 3:
      members.push([
        random.pick(["__proto__", "toString", "", "Agency", "seq"]),
        random.pick(values)
      ])
      break
    default:
  }
  return utf8.encode(`{${members.map(([name, value]) => `"${name}":${value}`).join(",")}}`)
}

/** Bodies near the frame's limit that are made to cost: depth, keys, numbers, escapes, refused bets. */
export const bomb = (random: Random, message: Message, bytes: number): Uint8Array => {
  const { agency, seq, type } = message
  const head = `{"type_message":${type},"agency":${agency}${
    seq === undefined ? "" : `,"seq":${seq}`
  }`
  const room = bytes - head.length - 64
  const depth = Math.floor(room / 2)
  const keys = () => {
    let text = ""
    for (let key = 0; text.length < room - 20; key++) text += `"${key}":0,`
    return `${text}"last":0`
  }
  return utf8.encode(
    random.pick([
      () => `${head},"payload":${"[".repeat(depth)}${"]".repeat(depth)}}`,
      () => `${head},"x":${"{\"\":".repeat(room / 6)}0${"}".repeat(room / 6)},"payload":[]}`,
      () => "[".repeat(bytes),
      () => `${head},${keys()},"payload":[]}`,
      () => `${head},"x":${"9".repeat(room)},"payload":[]}`,
      () => `${head},"x":"${"\\u00e1".repeat(room / 6)}","payload":[]}`,
      () => `${head},"payload":[${"0,".repeat(room / 2 - 1)}0]}`,
      () => `${head},"payload":["${"a".repeat(room)}"]}`,
      () => `${head},"payload":["${",".repeat(room)}"]}`,
      () => `${head}${" ".repeat(room)},"payload":[]}`
    ])()
  )
}

export const framed = (body: Uint8Array, length: number = body.length): Uint8Array => {
  const bytes = Buffer.alloc(4 + body.length)
  bytes.writeUInt32BE(length % 0x1_0000_0000)
  bytes.set(body, 4)
  return bytes
}
