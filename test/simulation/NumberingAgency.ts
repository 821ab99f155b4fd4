/**
 * An agency with a numbering client: it asks with RESUME where to go on, sends several chunks without waiting, and handles
 * every answer as PROTOCOL.md says. Sometimes it does what is allowed but unusual: it sends a chunk twice, asks RESUME in
 * the middle, closes its side while answers are due, or opens a new connection while the old one still works.
 */
import { decodeAnswer, encodeRequest } from "../../src/domain/Message.ts"
import type { AgencyFile } from "./AgencyFile.ts"
import type { Asked } from "./Conversation.ts"
import {
  type AgencyStyle,
  type AgencyWorld,
  chunksMax,
  type Consult,
  leave,
  pauseOf,
  type SimulatedAgency,
  type Successor
} from "./SimulatedAgency.ts"
import type { Link } from "./SimulatedNetwork.ts"
import type { Planned } from "./Timeline.ts"

type SentChunk = Extract<Asked, { _tag: "Chunk" }>

const windowMax = 4

export class NumberingAgency implements SimulatedAgency {
  readonly #world: AgencyWorld
  readonly #file: AgencyFile
  readonly #style: AgencyStyle
  readonly #successor: Successor
  readonly #consult: Consult
  #link: Link | undefined
  #patience: Planned | undefined
  /** Requests on this connection that have no answer yet, oldest first. */
  #due: Array<SentChunk | "resume"> = []
  #next = 0
  #seq = 0
  #sentLast = false
  #sold = false
  #sellingSoon = false
  /** How many more connections it opens, each before it has the answer of the one before. */
  #haste = 0
  /** Something was refused: nothing more is sent here before a RESUME. */
  #astray = true

  constructor(
    world: AgencyWorld,
    file: AgencyFile,
    style: AgencyStyle,
    consult: Consult,
    successor: Successor = () => false
  ) {
    this.#world = world
    this.#file = file
    this.#style = style
    this.#successor = successor
    this.#consult = consult
  }

  begin(): void {
    this.#consult.begin()
    this.sell()
  }

  done(): boolean {
    return this.#sold && this.#consult.told
  }

  move(): void {
    if (this.#link !== undefined) this.#startAnew()
  }

  sell(): void {
    this.#due = []
    this.#astray = true
    const link: Link = this.#world.connect("bets", {
      onOpen: () => {
        if (this.#link === link) this.#resume()
        else link.abandon()
      },
      onAnswer: (body) => {
        if (this.#link === link) this.#onAnswer(body)
        // Replaced, and nobody is there any more who would read.
        else link.abandon()
      },
      onClosed: () => {
        if (this.#link === link) this.#onLost()
      }
    })
    this.#link = link
    this.#beImpatient()
  }

  #resume(): void {
    const { agency } = this.#file
    this.#due.push("resume")
    this.#link?.ask({ _tag: "Resume", agency }, encodeRequest({ _tag: "Resume", agency }))
    this.#beHasty()
  }

  /** One connection is in hand, one waits for that, and a newer one comes, and another. */
  #beHasty(): void {
    const { quiet, random, timeline } = this.#world
    if (this.#haste === 0 && random.chance(0.1)) this.#haste = random.integer(1, 4)
    if (this.#haste === 0 || quiet()) return
    this.#haste--
    const link = this.#link
    timeline.after(random.skewed(0, 200), () => {
      if (this.#link === link && link !== undefined) this.#startAnew()
    })
  }

  #sellSoon(): void {
    if (this.#sellingSoon) return
    this.#sellingSoon = true
    this.#world.timeline.after(pauseOf(this.#world, this.#style), () => {
      this.#sellingSoon = false
      this.#sellChunks()
    })
  }

  #sellChunks(): void {
    const { random } = this.#world
    if (this.#link === undefined || this.#astray || this.#sentLast) return
    const { agency, bets } = this.#file
    while (!this.#sentLast && this.#due.length < windowMax) {
      const from = this.#next
      const to = Math.min(from + this.#chunkSize(), bets.length)
      const last = to === bets.length && (from === to || random.chance(0.7))
      const seq = this.#style.numbers ? ++this.#seq : undefined
      const chunk: SentChunk = { _tag: "Chunk", agency, seq, from, to, last }
      this.#next = to
      this.#sentLast = last
      this.#send(chunk)
      if (seq !== undefined && !this.#world.quiet() && random.chance(0.05)) this.#send(chunk)
      if (random.chance(0.5)) break
    }
    if (!this.#sentLast) {
      if (this.#due.length < windowMax) this.#sellSoon()
    } else if (random.chance(0.3)) this.#link.finish()
    if (!this.#world.quiet() && random.chance(0.03)) this.#startAnew()
  }

  /** Now and then none, which is legal. */
  #chunkSize(): number {
    const { random } = this.#world
    const min = Math.ceil(this.#file.bets.length / chunksMax)
    return random.chance(0.05) ? 0 : random.integer(min, Math.max(min, this.#style.chunkMax))
  }

  #send(chunk: SentChunk): void {
    const { agency, bets } = this.#file
    const { from, last, seq, to } = chunk
    this.#due.push(chunk)
    this.#link?.ask(
      chunk,
      encodeRequest({
        _tag: last ? "SendLastChunk" : "SendChunk",
        agency,
        seq,
        bets: bets.slice(from, to)
      })
    )
    this.#beImpatient()
  }

  #onAnswer(body: Uint8Array): void {
    const answer = decodeAnswer(body)
    if (answer._tag === "None" || answer.value._tag === "ErrorAnswer") return
    const asked = this.#due.shift()
    this.#beImpatient()
    const { value } = answer
    if (value._tag === "ResumePoint") {
      if (value.finished) return this.#finish()
      this.#next = value.bets
      this.#seq = value.seq
      this.#sentLast = false
      this.#astray = false
      return this.#sellSoon()
    }
    if (value._tag === "ChunkProcessed") {
      if (value.duplicate) this.#world.timeline.count("duplicate")
      if (typeof asked === "object" && asked.last) return this.#finish()
      this.#sellSoon()
    } else this.#astray = true
    if (this.#astray && this.#due.length === 0) this.#comeBack()
  }

  /** Everything that was sent has its answer, and something was refused. */
  #comeBack(): void {
    const { random, timeline } = this.#world
    const link = this.#link
    timeline.after(random.integer(10, 500), () => {
      if (this.#link !== link || link === undefined) return
      if (random.chance(0.5)) return this.#resume()
      link.abandon()
      this.#onLost()
    })
  }

  #startAnew(): void {
    const link = this.#link
    this.#world.timeline.count("connection replaced while alive")
    this.#link = undefined
    this.#patience?.cancel()
    this.sell()
    if (link !== undefined) leave(this.#world, link, this.#link)
  }

  #finish(): void {
    this.#sold = true
    this.#patience?.cancel()
    this.#link?.finish()
    this.#link = undefined
    this.#consult.ask()
  }

  #onLost(): void {
    this.#link = undefined
    this.#patience?.cancel()
    this.#world.timeline.after(this.#world.random.skewed(20, 2000), () => {
      if (!this.#successor()) this.sell()
    })
  }

  #beImpatient(): void {
    const { random, timeline } = this.#world
    this.#patience?.cancel()
    this.#patience = timeline.after(random.integer(4000, 12_000), () => {
      timeline.count("agency lost patience")
      this.#link?.abandon(random.chance(0.5))
      this.#onLost()
    })
  }
}
