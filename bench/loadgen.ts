/**
 * The load generator where there is no C compiler: the same command line and output as loadgen/loadgen.c, which explains
 * them. Node takes several times the CPU for the same load, so on few cores it is the limit itself.
 */
import { readFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { parseArgs } from "node:util"
import type { Protocol } from "./Requests.ts"
import { scanners } from "./Scanners.ts"

const graceMs = 20_000
const token = Buffer.from("%%%%%%")

const text = { type: "string" } as const
const { positionals: [mode], values } = parseArgs({
  allowPositionals: true,
  options: {
    host: text,
    port: text,
    protocol: text,
    requests: text,
    hello: text,
    "hello-answers": text,
    connections: text,
    window: text,
    bets: text,
    answers: text,
    "first-agency": text,
    "first-request": text,
    warmup: text,
    seconds: text,
    rate: text,
    "per-connection": text,
    marks: text,
    seq: { type: "boolean" },
    finish: { type: "boolean" },
    "split-writes": { type: "boolean" }
  }
})

const host = values.host ?? "127.0.0.1"
const port = Number(values.port)
const isProtocol = (name: string): name is Protocol => name in scanners
const protocol = values.protocol ?? "lottery"
const connectionCount = Number(values.connections ?? 1)
const windowSize = Number(values.window ?? 1)
const bets = Number(values.bets ?? 1)
const answers = Number(values.answers ?? 1)
const firstAgency = Number(values["first-agency"] ?? 1)
const firstRequest = Number(values["first-request"] ?? 0)
const rate = Number(values.rate ?? 0)
const perConnection = Number(values["per-connection"] ?? -1)
const finish = values.finish === true
const splitWrites = values["split-writes"] === true
const marks = values.marks?.split(",").map(Number) ?? []

const nowSeconds = (): number => Number(process.hrtime.bigint()) / 1e9
const tell = (told: Readonly<Record<string, unknown>>): void => console.log(JSON.stringify(told))
const fail = (why: string): never => {
  console.error(`loadgen: ${why}`)
  process.exit(2)
}

if (splitWrites && protocol !== "lottery") fail("--split-writes is for the lottery's frames")
const scan = isProtocol(protocol) ? scanners[protocol] : fail(`--protocol: there is no ${protocol}`)

/** A copy in which every token is the connection's number. */
const withNumber = (bytes: Buffer, number: number): Buffer => {
  if (!bytes.includes(token)) return bytes
  const copy = Buffer.from(bytes)
  for (let at = copy.indexOf(token); at >= 0; at = copy.indexOf(token, at)) {
    copy.write(String(number).padStart(token.length, "0"), at)
  }
  return copy
}

const readRequests = (path: string): ReadonlyArray<Buffer> => {
  const bytes = readFileSync(path)
  const requests: Array<Buffer> = []
  for (let at = 0; at + 4 <= bytes.length;) {
    const end = at + 4 + bytes.readUInt32BE(at)
    requests.push(bytes.subarray(at + 4, end))
    at = end
  }
  return requests
}

// ---- load --------------------------------------------------------------------------------------------------------

interface Sent {
  readonly due: number
  /** 0: a last chunk. */
  readonly bytes: number
}

const latencies: Array<number> = []
let [acknowledged, acknowledgedBytes, measured, sentRequests, refused, cut] = [0, 0, 0, 0, 0, 0]
let [startedAt, measureFrom, measureTo, lastAnswerAt] = [0, 0, 0, 0]
let [lastFinishSentAt, lastFinishAnsweredAt, nextMark] = [0, 0, 0]
let sending = true
let firstRefusal = ""

class Connection {
  readonly number: number
  readonly socket: Socket
  readonly #requests: ReadonlyArray<Buffer>
  readonly unanswered: Array<Sent> = []
  helloLeft: number
  backlog = 0
  ended = false
  #left: Buffer | undefined
  #answersLeft = answers
  #sent = 0
  #seq = 0
  #finishing = false

  constructor(number: number, requests: ReadonlyArray<Buffer>, helloLeft: number) {
    this.number = number
    this.#requests = protocol === "lottery"
      ? requests
      : requests.map((bytes) => withNumber(bytes, number))
    this.helloLeft = helloLeft
    this.socket = connect({ host, port, noDelay: !splitWrites })
    this.socket.on("data", (bytes: Buffer) => this.#receive(bytes))
    this.socket.on("error", (error) => this.helloLeft > 0 ? fail(error.message) : undefined)
    this.socket.once("close", () => {
      if (this.ended) return
      if (this.unanswered.length > 0 || !this.#finishing) cut++
      this.ended = true
    })
  }

  goOn(): void {
    if (this.ended || this.helloLeft > 0) return
    if (rate === 0) {
      while (this.unanswered.length < windowSize && this.#mayPut) this.#put(nowSeconds())
    }
    for (; this.backlog > 0 && this.unanswered.length < windowSize; this.backlog--) {
      this.#put(startedAt + (this.#sent * connectionCount + this.number) / rate)
    }
    if (this.#mayPut || this.backlog > 0 || this.unanswered.length > 0) return
    if (finish && !this.#finishing) return this.#putLastChunk()
    this.ended = true
    this.socket.destroy()
  }

  get #mayPut(): boolean {
    return sending && (perConnection < 0 || this.#sent < perConnection)
  }

  #put(due: number): void {
    const index = (this.#sent++ + this.number * 7 + firstRequest) % this.#requests.length
    const request = this.#requests[index] ?? fail("no request")
    sentRequests++
    const head = protocol === "lottery" ? this.#head(1) : ""
    if (head !== "") this.#writeFrame(head, request)
    else this.socket.write(request)
    this.unanswered.push({ due, bytes: head.length + request.length })
  }

  #putLastChunk(): void {
    this.#finishing = true
    lastFinishSentAt = nowSeconds()
    this.#writeFrame(`${this.#head(2)}"payload": []}`, Buffer.alloc(0))
    this.unanswered.push({ due: lastFinishSentAt, bytes: 0 })
  }

  #head(type: number): string {
    const seq = values.seq === true ? `"seq": ${++this.#seq}, ` : ""
    return `{"type_message": ${type}, "agency": "${firstAgency + this.number}", ${seq}`
  }

  #writeFrame(head: string, rest: Buffer): void {
    const beginning = Buffer.alloc(4 + head.length)
    beginning.writeUInt32BE(head.length + rest.length)
    beginning.write(head, 4, "latin1")
    if (splitWrites) this.socket.write(beginning.subarray(0, 4))
    this.socket.cork()
    this.socket.write(splitWrites ? beginning.subarray(4) : beginning)
    this.socket.write(rest)
    this.socket.uncork()
  }

  #receive(bytes: Buffer): void {
    let input = this.#left === undefined ? bytes : Buffer.concat([this.#left, bytes])
    for (let answer = scan(input); answer !== undefined; answer = scan(input)) {
      if (answer.reply !== undefined) this.socket.write(answer.reply)
      if (!answer.good && refused++ === 0) {
        firstRefusal = input.toString("latin1", 0, answer.bytes).trim()
      }
      if (answer.counts) this.#onAnswer(answer.good)
      input = input.subarray(answer.bytes)
    }
    this.#left = input.length === 0 ? undefined : input
    this.goOn()
  }

  #onAnswer(good: boolean): void {
    if (this.helloLeft > 0) {
      if (!good) fail(`greeting refused: ${firstRefusal}`)
      this.helloLeft--
      return
    }
    if (--this.#answersLeft > 0) return
    this.#answersLeft = answers
    const sent = this.unanswered.shift()
    if (sent === undefined) return
    const at = nowSeconds()
    if (sent.bytes === 0) {
      lastFinishAnsweredAt = at
      return
    }
    const timely = at >= measureFrom && at < measureTo
    if (good) {
      acknowledged += bets
      acknowledgedBytes += sent.bytes
      lastAnswerAt = at
      if (timely) measured += bets
    }
    if (rate > 0 ? sent.due >= measureFrom && sent.due < measureTo : timely) {
      latencies.push(at - sent.due)
    }
    for (; acknowledged >= (marks[nextMark] ?? Infinity); nextMark++) {
      tell({ event: "mark", bets: acknowledged, at })
    }
  }
}

const load = async (): Promise<void> => {
  const requests = readRequests(values.requests ?? fail("--requests is missing"))
  const hello = values.hello === undefined ? undefined : readFileSync(values.hello)
  const connections = Array.from(
    { length: connectionCount },
    (_, number) =>
      new Connection(number, requests, hello === undefined ? 0 : Number(values["hello-answers"]))
  )
  const pause = () => new Promise((resolve) => setTimeout(resolve, 1))
  for (const { number, socket } of connections) {
    while (socket.connecting) await pause()
    if (hello !== undefined) socket.write(withNumber(hello, number))
  }
  while (connections.some(({ helloLeft }) => helloLeft > 0)) await pause()

  startedAt = nowSeconds()
  measureFrom = startedAt + Number(values.warmup ?? 0)
  measureTo = measureFrom + Number(values.seconds ?? 5)
  tell({ event: "start", at: startedAt })
  for (const connection of connections) connection.goOn()
  let due = 0
  let told = 0
  for (let at = startedAt; connections.some(({ ended }) => !ended); at = nowSeconds()) {
    for (; told < 2 && at >= (told === 0 ? measureFrom : measureTo); told++) {
      tell({ event: told === 0 ? "begin" : "end", at })
    }
    if (at > measureTo + graceMs / 1000) break
    const dueUntilNow = Math.ceil((Math.min(at, measureTo) - startedAt) * rate)
    for (; due < dueUntilNow; due++) {
      const connection = connections[due % connectionCount]
      if (connection === undefined) continue
      connection.backlog++
      connection.goOn()
    }
    if (sending && at >= measureTo) {
      sending = false
      for (const connection of connections) connection.goOn()
    }
    await pause()
  }
  report(connections.reduce((sum, one) => sum + one.unanswered.length + one.backlog, 0))
  process.exit(0)
}

const report = (unanswered: number): void => {
  const sorted = Float64Array.from(latencies).toSorted()
  const percentile = (part: number) =>
    1000 * (sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0)
  const { system, user } = process.cpuUsage()
  tell({
    event: "result",
    acknowledged,
    acknowledgedBytes,
    requests: sentRequests,
    measured,
    seconds: (perConnection >= 0 ? Math.min(lastAnswerAt, measureTo) : measureTo) - measureFrom,
    p50: percentile(0.5),
    p99: percentile(0.99),
    p999: percentile(0.999),
    max: percentile(1),
    refused,
    firstRefusal,
    cut,
    unanswered,
    startedAt,
    lastAnswerAt,
    lastFinishSentAt,
    lastFinishAnsweredAt,
    cpu: (system + user) / 1e6
  })
}

// ---- consult -----------------------------------------------------------------------------------------------------

const consult = async (): Promise<void> => {
  let [informed, failed, bytes, firstAt, lastAt, open] = [0, 0, 0, 0, 0, 0]
  const sockets = Array.from(
    { length: connectionCount },
    () => connect({ host, port, noDelay: true })
  )
  const closed = sockets.map((socket) => {
    let beginning: Buffer | undefined
    socket.on("error", () => socket.destroy())
    socket.on("data", (data: Buffer) => {
      beginning ??= data
      bytes += data.length
      lastAt = nowSeconds()
      if (firstAt === 0) firstAt = lastAt
    })
    return new Promise<void>((resolve) =>
      socket.once("close", () => {
        if (beginning !== undefined && /"type_message": *2/.test(beginning.toString("latin1"))) {
          informed++
        } else failed++
        resolve()
      })
    )
  })
  await Promise.all(
    sockets.map((socket) =>
      new Promise<void>((resolve) => {
        socket.once("connect", () => {
          open++
          resolve()
        })
      })
    )
  )
  tell({ event: "open", open, at: nowSeconds() })
  process.stdin.once("data", () => {
    for (const [number, socket] of sockets.entries()) {
      const body = `{"type_message": 3, "agency": "${firstAgency + number}", "payload": null}`
      const frame = Buffer.alloc(4 + body.length)
      frame.writeUInt32BE(body.length)
      frame.write(body, 4, "latin1")
      socket.write(frame)
    }
    tell({ event: "asked", at: nowSeconds() })
  })
  await Promise.all(closed)
  tell({ event: "informed", informed, failed, bytes, firstAt, lastAt })
  process.exit(0)
}

if (mode === "load") await load()
else if (mode === "consult") await consult()
else fail("load or consult, and the options of loadgen/options.c")
