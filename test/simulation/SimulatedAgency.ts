/**
 * The common parts of simulated agencies, their world, and the agency from the field: it sends no `seq`, goes on with
 * its next chunk after any answer, and starts again from the top of its file when its connection is lost, maybe with
 * chunks of another size.
 */
import type { AgencyId } from "../../src/domain/Agency.ts"
import { fieldsOfBet } from "../../src/domain/Bet.ts"
import { encodeFrame } from "../../src/domain/Frame.ts"
import { decodeAnswer, encodeRequest } from "../../src/domain/Message.ts"
import type { Door } from "../../src/services/intake/Connection.ts"
import type { AgencyFile } from "./AgencyFile.ts"
import type { Judge } from "./Judge.ts"
import type { Random } from "./Random.ts"
import type { Link, Peer } from "./SimulatedNetwork.ts"
import type { Planned, Timeline } from "./Timeline.ts"

export interface AgencyWorld {
  readonly timeline: Timeline
  readonly random: Random
  readonly judge: Judge
  readonly connect: (door: Door, peer: Peer) => Link
  /** No more faults: also agencies stop doing odd things. */
  readonly quiet: () => boolean
}

export interface AgencyStyle {
  /** Bets a chunk, at most. */
  readonly chunkMax: number
  /** What it takes to sell the next chunk. */
  readonly pauseMax: number
  /** Consults with `wait`. */
  readonly waits: boolean
  /** Opens the consult connection at the start. */
  readonly consultsEarly: boolean
  /** Its chunks carry `seq`, if it counts at all. */
  readonly numbers: boolean
}

/** Called when the connection is lost: whether somebody else goes on with the agency's file. */
export type Successor = () => boolean

/** How long the next chunk takes to be sold; in the end everybody hurries. */
export const pauseOf = ({ quiet, random }: AgencyWorld, { pauseMax }: AgencyStyle): number =>
  quiet() ? random.integer(1, 20) : random.skewed(1, pauseMax)

/** Over a slow network more would take too long. */
export const chunksMax = 60

/** A connection was replaced. Only the server that it leads to closes it, and the new one may lead to another. */
export const leave = ({ random, timeline }: AgencyWorld, link: Link, next: Link | undefined) => {
  if (next?.life !== link.life) timeline.after(random.integer(0, 6000), () => link.abandon())
}

const utf8 = new TextEncoder()

/** As the field writes it: strings for numbers, nothing but ASCII, a space after `:` and `,`. */
const fieldFrame = (type: number, agency: number, items: ReadonlyArray<string>): Uint8Array => {
  const payload = items.map((item) => JSON.stringify(item)).join(", ")
  const json = `{"type_message": "${type}", "agency": "${agency}", "payload": [${payload}]}`
  return encodeFrame(utf8.encode(
    json.replace(
      /[\u007f-\uffff]/g,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
    )
  ))
}

/** Learns the agency's winners, as often as it takes. */
export class Consult {
  readonly #world: AgencyWorld
  readonly #agency: AgencyId
  readonly #style: AgencyStyle
  #link: Link | undefined
  #open = false
  #asking = false
  told = false

  constructor(world: AgencyWorld, agency: AgencyId, style: AgencyStyle) {
    this.#world = world
    this.#agency = agency
    this.#style = style
  }

  begin(): void {
    if (this.#style.consultsEarly) this.#connect()
  }

  ask(): void {
    if (this.#asking) return
    this.#asking = true
    if (this.#link === undefined) this.#connect()
    else if (this.#open) this.#send()
  }

  #send(): void {
    const wait = this.#style.waits
    this.#link?.ask(
      { _tag: "Consult", agency: this.#agency, wait },
      encodeRequest({ _tag: "ConsultWinners", agency: this.#agency, wait })
    )
  }

  #connect(): void {
    this.#open = false
    const link = this.#world.connect("consult", {
      onOpen: () => {
        this.#open = true
        if (this.#asking) this.#send()
      },
      onAnswer: (body) => {
        const answer = decodeAnswer(body)
        if (answer._tag === "Some" && answer.value._tag === "InformAgencyWinners") {
          this.told = true
          this.#world.judge.onTold(this.#agency)
        }
      },
      onClosed: () => {
        if (this.#link !== link) return
        this.#link = undefined
        if (this.told || !this.#asking) return
        this.#world.timeline.after(this.#world.random.integer(50, 1500), () => this.#connect())
      }
    })
    this.#link = link
  }
}

export interface SimulatedAgency {
  readonly begin: () => void
  /** Begins, or goes on where another one stopped. */
  readonly sell: () => void
  /** Connects anew without need, and leaves its connection as it is, or breaks it. */
  readonly move: () => void
  /** It sold everything and knows its winners. */
  readonly done: () => boolean
}

export class FieldAgency implements SimulatedAgency {
  readonly #world: AgencyWorld
  readonly #file: AgencyFile
  readonly #style: AgencyStyle
  readonly #successor: Successor
  readonly #consult: Consult
  #link: Link | undefined
  #patience: Planned | undefined
  #chunkSize = 1
  #next = 0
  #sentLast = false
  #sold = false

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
    const link = this.#link
    if (link === undefined) return
    if (this.#world.random.chance(0.5)) link.abandon(this.#world.random.chance(0.5))
    this.sell()
    leave(this.#world, link, this.#link)
  }

  sell(): void {
    const { random, timeline } = this.#world
    const chunkMin = Math.ceil(this.#file.bets.length / chunksMax)
    this.#chunkSize = random.integer(chunkMin, Math.max(chunkMin, this.#style.chunkMax))
    this.#next = 0
    this.#sentLast = false
    timeline.trace(`agency ${this.#file.agency} starts with chunks of ${this.#chunkSize}`)
    const link: Link = this.#world.connect("bets", {
      onOpen: () => {
        if (this.#link === link) this.#sellChunk()
        else link.abandon()
      },
      onAnswer: (body) => {
        if (this.#link === link) this.#onAnswer(body)
        // Left, and nobody is there any more who would read.
        else link.abandon()
      },
      onClosed: () => {
        if (this.#link === link) this.#onLost()
      }
    })
    this.#link = link
    this.#beImpatient()
  }

  #sellChunk(): void {
    const { agency, bets } = this.#file
    const from = this.#next
    const to = Math.min(from + this.#chunkSize, bets.length)
    // An agency doesn't always know that a chunk is its last: then an empty one follows.
    const last = to === bets.length && (from === to || this.#world.random.chance(0.7))
    this.#next = to
    this.#sentLast = last
    const items = bets.slice(from, to).map((bet) => fieldsOfBet(bet).join(","))
    this.#link?.ask(
      { _tag: "Chunk", agency, seq: undefined, from, to, last },
      fieldFrame(last ? 2 : 1, agency, items)
    )
    this.#beImpatient()
  }

  #onAnswer(body: Uint8Array): void {
    const answer = decodeAnswer(body)
    if (answer._tag === "Some" && answer.value._tag === "ErrorAnswer") return
    if (!this.#sentLast) {
      const link = this.#link
      this.#beImpatient()
      this.#world.timeline.after(pauseOf(this.#world, this.#style), () => {
        if (this.#link === link && link !== undefined) this.#sellChunk()
      })
      return
    }
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
      if (this.#successor()) return
      this.#world.timeline.count("field agency starts from the top again")
      this.sell()
    })
  }

  /** Somebody starts the agency again when nothing comes for long. */
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
