/**
 * Fuzzes a central: the real server over real sockets on both ports. Several agencies at a time hold conversations that a
 * seed determines: frames in order, damaged, nonsensical, repeated, truncated, on the wrong port, or bytes that are no
 * frames. Oracle.ts gives the expected answer to each; in the end the ledger must hold exactly what it predicts. A
 * bystander sells throughout. The same seed gives the same conversations; only the progress of a connection that was
 * reset or taken over depends on timing.
 */
import { deepStrictEqual, ok } from "node:assert/strict"
import { readdirSync, readlinkSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { Bystander } from "../faults/Bystander.ts"
import { memoryCeiling, MemoryWatch } from "../faults/Memory.ts"
import { Random } from "../simulation/Random.ts"
import { Central, runMain } from "../support/Central.ts"
import { waitUntil } from "../support/WaitUntil.ts"
import type { WireAnswer } from "../support/Wire.ts"
import { type Conversation, converse } from "./Conversation.ts"
import { FuzzConnection } from "./FuzzConnection.ts"
import { framed, personal } from "./Mutations.ts"
import { AgencyModel, drawName, type Expected, frameBytesMax } from "./Oracle.ts"

export interface FuzzOptions {
  readonly seed: number
  readonly ms: number
  /** Agencies at work at the same time. */
  readonly slots?: number
  readonly onProgress?: (line: string) => void
}

export interface FuzzReport {
  readonly conversations: number
  readonly answers: number
  readonly bets: number
  readonly agencies: number
  /** How often each code (or kind of answer) was answered. */
  readonly kinds: ReadonlyMap<string, number>
  readonly bystander: { readonly chunks: number; readonly slowestMs: number }
  /** MiB, of the server and its children. */
  readonly memoryPeak: number
}

const rosterSize = 4000
/** No mutation of another agency's id makes this one. */
const bystanderId = 918_273
const frameDeadlineMs = 2500
const idleMax = 40
/** An agency is left for the next one when it has so many chunks, or so many conversations after its last. */
const chunksMax = 300
const epilogueMax = 6
const progressMs = 10_000
const settings = {
  connections: {
    max: 200,
    frameBytesMax,
    frameBudgetBytes: 32 * 1024 * 1024,
    frameDeadlineMs
  },
  ledger: { groupBytesMax: 4 * 1024 * 1024 },
  parsers: { processes: 2, memoryMb: 128 }
}

/** An answer without what is for people or a matter of time. */
const bare = (answer: WireAnswer): Record<string, unknown> => {
  const { message: _message, payload, retry_after_ms: _retry, ...rest } = answer
  ok(payload === null || answer.type_message === 4, "an answer with a payload")
  return rest
}

const shown = (bytes: Uint8Array): string => {
  const text = Buffer.from(bytes.subarray(0, 1500)).toString("latin1")
  return JSON.stringify(text) + (bytes.length > 1500 ? ` and more, ${bytes.length} bytes` : "")
}

/** What the process has open, each with its place. */
const descriptors = (pid: number): ReadonlyArray<string> =>
  readdirSync(`/proc/${pid}/fd`).map((name) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${name}`)
    } catch {
      // It has just been closed.
      return "closed"
    }
  }).toSorted()

const sockets = (names: ReadonlyArray<string>): number =>
  names.filter((name) => name.startsWith("socket:")).length

/** Of the ledger's checkpoint thread, which starts when the log of changes is first long enough. */
const threadDescriptors = 8

class Fuzzer {
  readonly #options: FuzzOptions
  readonly #central: Central
  readonly #ports: { readonly bets: number; readonly consult: number }
  readonly #agencies: Array<AgencyModel> = []
  readonly #idle: Array<FuzzConnection> = []
  readonly #kinds = new Map<string, number>()
  readonly #end: number
  #nextAgency = 1
  #failed = false
  #conversations = 0
  #answers = 0

  constructor(central: Central, options: FuzzOptions) {
    this.#central = central
    this.#options = options
    this.#ports = { bets: central.betsPort, consult: central.consultPort }
    this.#end = performance.now() + options.ms
  }

  /** Everybody talks until the time is up. */
  async talk(): Promise<void> {
    const root = new Random(this.#options.seed)
    const slots = Array.from(
      { length: this.#options.slots ?? 6 },
      (_, slot) => this.#slot(slot, root.split())
    )
    try {
      await Promise.all(slots)
    } finally {
      this.#failed = true
      await Promise.allSettled(slots)
    }
    for (const connection of this.#idle) {
      ok(connection.open && connection.answers.length === 0, "an idle connection was disturbed")
    }
  }

  /** What a server opens when it is first needed: afterwards its descriptors are as they'll be in the end. */
  async warmUp(): Promise<void> {
    const id = this.#nextAgency++
    const agency = new AgencyModel(id)
    this.#agencies.push(agency)
    const bet = "Ana,Lorca,30904465,1999-03-17,22"
    for (const bets of [[bet], [bet, bet]]) {
      using connection = await FuzzConnection.connect(this.#ports.bets)
      const message = { type_message: 1, agency: id, payload: bets }
      await connection.send(framed(Buffer.from(JSON.stringify(message))))
      await connection.send(framed(Buffer.from(JSON.stringify({ type_message: 4, agency: id }))))
      await connection.answered(2)
      connection.finish()
      await connection.ended()
    }
    agency.store([bet.replaceAll(",", "\t")], false)
    agency.store([bet.replaceAll(",", "\t")], false)
  }

  leave(): void {
    for (const connection of this.#idle) connection[Symbol.dispose]()
  }

  get report(): Pick<FuzzReport, "conversations" | "answers" | "bets" | "agencies" | "kinds"> {
    return {
      conversations: this.#conversations,
      answers: this.#answers,
      bets: this.#agencies.reduce((sum, { bets }) => sum + bets.length, 0),
      agencies: this.#agencies.length,
      kinds: this.#kinds
    }
  }

  /** The ledger holds exactly what was acknowledged, as it was written, in one pass over its chunks. */
  checkLedger(): void {
    using database = new DatabaseSync(this.#central.ledgerPath, { readOnly: true })
    const found = new Map(this.#agencies.map(({ id }) => [id, 0]))
    const rows = database
      .prepare("SELECT agency, seq, last, bets, body FROM chunk WHERE agency <> ? ORDER BY id")
    for (const { agency, bets, body, last, seq } of rows.iterate(bystanderId)) {
      const expected = this.#agencies[Number(agency) - 1]?.chunks[Number(seq) - 1]
      const text = expected?.bets.map((bet) => `${bet}\n`).join("")
      const place = `agency ${String(agency)}, chunk ${String(seq)}`
      deepStrictEqual(
        { seq, last, bets, body },
        {
          seq: (found.get(Number(agency)) ?? 0) + 1,
          last: Number(expected?.last),
          bets: expected?.bets.length,
          body: text
        },
        place
      )
      found.set(Number(agency), Number(seq))
    }
    for (const { chunks, id } of this.#agencies) {
      deepStrictEqual(found.get(id), chunks.length, `the chunks of agency ${id}`)
    }
  }

  async #slot(slot: number, random: Random): Promise<void> {
    let agency = this.#newAgency()
    let epilogue = 0
    for (let step = 0; performance.now() < this.#end && !this.#failed; step++) {
      if (agency.finished) epilogue++
      if (epilogue > epilogueMax || agency.chunks.length > chunksMax) {
        agency = this.#newAgency()
        epilogue = 0
      }
      try {
        await this.#step(random, agency)
      } catch (error) {
        this.#failed = true
        const where = `seed ${this.#options.seed}, slot ${slot}, step ${step}, agency ${agency.id}`
        throw new Error(`${where}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error
        })
      }
      this.#conversations++
    }
  }

  #newAgency(): AgencyModel {
    ok(this.#nextAgency <= rosterSize, "more agencies are needed for so long a time")
    const agency = new AgencyModel(this.#nextAgency++)
    this.#agencies.push(agency)
    return agency
  }

  async #step(random: Random, agency: AgencyModel): Promise<void> {
    if (random.chance(0.02)) return this.#beIdle(random)
    const resumed = random.chance(0.2)
    const before = agency.chunks.length
    const conversation = converse(random, agency, inRoster, resumed ? "resumed" : "fresh")
    using connection = await FuzzConnection.connect(this.#ports[conversation.door])
    try {
      if (resumed && random.chance(0.5)) {
        await this.#breakOff(random, agency, before, conversation, connection)
      } else if (random.chance(0.3)) await this.#sayAllAndFinish(conversation, connection)
      else await this.#sayAndListen(random, conversation, connection)
    } catch (error) {
      const said = conversation.bursts.map(({ bytes }) => shown(bytes)).join("\n  ")
      const problem = error instanceof Error ? error.message : String(error)
      throw new Error(
        `${problem}\nsaid on the ${conversation.door} port:\n  ${said}\n`
          + `expected: ${JSON.stringify(conversation.model.answers)}\n`
          + `answered: ${JSON.stringify(connection.answers)}`,
        { cause: error }
      )
    }
    for (const { code, type_message } of connection.answers) {
      const kind = typeof code === "string" ? code : `type ${type_message}`
      this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + 1)
      this.#answers++
    }
  }

  /** As an agency does: what was said is answered before more is said. Then the end, whoever's turn it is. */
  async #sayAndListen(
    random: Random,
    { bursts, model }: Conversation,
    connection: FuzzConnection
  ): Promise<void> {
    for (const { answers, bytes, cuts } of bursts) {
      await connection.send(bytes, cuts)
      await connection.answered(answers)
    }
    const expected: Array<Expected> = [...model.answers]
    if (model.midFrame && random.chance(0.02)) {
      expected.push({ type_message: 6, code: "TIMEOUT" })
    } else if (!model.closed) connection.finish()
    await connection.ended()
    this.#compare(connection, expected)
  }

  /** Everything at once, and FIN. On the consult port FIN means that nobody waits for the answer. */
  async #sayAllAndFinish(
    { bursts, door, model }: Conversation,
    connection: FuzzConnection
  ): Promise<void> {
    for (const { bytes, cuts } of bursts) await connection.send(bytes, cuts)
    connection.finish()
    await connection.ended()
    const heard = door === "bets" ? model.answers.length : connection.answers.length
    this.#compare(connection, model.answers.slice(0, heard))
  }

  /** Everything at once, then a reset or a newer connection. What was acknowledged must be there. */
  async #breakOff(
    random: Random,
    agency: AgencyModel,
    before: number,
    { bursts, model }: Conversation,
    connection: FuzzConnection
  ): Promise<void> {
    const [resume, ...rest] = bursts
    if (resume === undefined) return
    await connection.send(resume.bytes, resume.cuts)
    await connection.answered(1)
    for (const { bytes, cuts } of rest) await connection.send(bytes, cuts)
    const reset = random.chance(0.5)
    if (reset) connection.vanish()
    using newer = await FuzzConnection.connect(this.#ports.bets)
    await newer.send(framed(Buffer.from(JSON.stringify({ type_message: 4, agency: agency.id }))))
    await newer.answered(1)
    if (!reset) await connection.ended()
    this.#compare(connection, model.answers.slice(0, connection.answers.length), reset)
    const seq = Number(newer.answers[0]?.["seq"])
    const acknowledged = model.stored[connection.answers.length - 1] ?? before
    ok(seq >= acknowledged, `seq ${acknowledged} was acknowledged, and RESUME says ${seq}`)
    agency.truncate(seq)
    this.#compare(newer, [agency.resumePoint()])
    newer.finish()
    await newer.ended()
  }

  async #beIdle(random: Random): Promise<void> {
    const port = random.pick([this.#ports.bets, this.#ports.consult])
    const connection = await FuzzConnection.connect(port)
    if (port === this.#ports.consult) {
      const consult = { type_message: 3, agency: String(random.integer(1, rosterSize)) }
      await connection.send(framed(Buffer.from(JSON.stringify(consult))))
    }
    this.#idle.push(connection)
    if (this.#idle.length <= idleMax) return
    const oldest = this.#idle.shift()
    ok(oldest?.open && oldest.answers.length === 0, "an idle connection was disturbed")
    if (random.chance(0.5)) oldest.vanish()
    oldest[Symbol.dispose]()
  }

  #compare(connection: FuzzConnection, expected: ReadonlyArray<Expected>, reset = false): void {
    deepStrictEqual(connection.answers.map(bare), expected)
    ok(reset || !connection.wasReset, "the central reset the connection")
    ok(!JSON.stringify(connection.answers).includes(personal), "an answer with personal data")
  }
}

const inRoster = (agency: number): boolean => agency <= rosterSize || agency === bystanderId

/** Fuzzes a central of its own. Fails with the seed and the conversation where something isn't as it must be. */
export const fuzz = async (options: FuzzOptions): Promise<FuzzReport> => {
  const roster = Array.from({ length: rosterSize }, (_, index) => index + 1)
  await using central = await Central.start({
    agencies: [...roster, bystanderId].join(","),
    settings: { ...settings, lottery: { draw: drawName } }
  })
  const fuzzer = new Fuzzer(central, options)
  await fuzzer.warmUp()
  let atStart = descriptors(central.pid)
  await central.waitUntil("a steady number of descriptors", () => {
    const before = atStart
    atStart = descriptors(central.pid)
    return atStart.length === before.length
  })
  const children = central.children.length
  using memory = new MemoryWatch(() => [central.pid, ...central.children])
  await using bystander = await Bystander.start(central, bystanderId)
  const progress = setInterval(() => {
    const { answers, bets, conversations } = fuzzer.report
    options.onProgress?.(
      `${conversations} conversations, ${answers} answers, ${bets} bets, `
        + `${Math.round(memory.look())} MiB`
    )
  }, progressMs)
  try {
    await fuzzer.talk()
  } finally {
    clearInterval(progress)
    fuzzer.leave()
  }
  const served = await bystander.ended()
  await bystander[Symbol.asyncDispose]()
  checkLog(central)
  let left = atStart
  await waitUntil("the descriptors of the start again", () => {
    left = descriptors(central.pid)
    return sockets(left) <= sockets(atStart) && left.length <= atStart.length + threadDescriptors
  }).catch(() => deepStrictEqual(left, atStart, "descriptors that are left"))
  deepStrictEqual(central.children.length, children, "parsers")
  const ceiling = memoryCeiling(settings)
  ok(memory.peak < ceiling, `${memory.peak} MiB, and ${ceiling} are the ceiling`)
  const { code } = await central.stop()
  deepStrictEqual(code, 0, "the exit code")
  fuzzer.checkLedger()
  checkLog(central)
  const verified = await runMain(["ledger", "verify", "--ledger", central.ledgerPath], {}, 120_000)
  deepStrictEqual(verified.code, 0, verified.stdout + verified.stderr)
  return { ...fuzzer.report, bystander: served, memoryPeak: memory.peak }
}

const checkLog = ({ errors, log }: Central): void => {
  const bad = log.split("\n").filter((line) =>
    / (ERROR|CRITICAL) /.test(line) || line.includes(personal)
    // Bombs make a parser's heap grow, and one that has outgrown its memory is replaced without anybody noticing.
    || (line.includes("parser_replaced") && !line.includes("outgrown its memory"))
  )
  deepStrictEqual(bad, [], "lines of the log")
  deepStrictEqual(errors, "", "stderr")
}
