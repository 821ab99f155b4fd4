/** One connection of a fuzzed agency, from its first byte to its end, made up before it is held: bytes and expectations. */
import type { Random } from "../simulation/Random.ts"
import { bomb, damaged, framed, json, payload, perverted } from "./Mutations.ts"
import { type AgencyModel, ConnectionModel, frameBytesMax } from "./Oracle.ts"

interface Burst {
  readonly bytes: Uint8Array
  readonly cuts: ReadonlyArray<number>
  /** How many answers there must be after it, in all. */
  readonly answers: number
}

export interface Conversation {
  readonly door: "bets" | "consult"
  readonly bursts: ReadonlyArray<Burst>
  readonly model: ConnectionModel
}

/** The possible contents of a conversation's frames. */
interface Speaking {
  readonly random: Random
  readonly agency: AgencyModel
  /** Whether the client counts its chunks. */
  readonly counts: boolean
  /** How many bets it has sent again from the top. */
  repeated: number
}

const lastChunkChance = 0.004

/** The next chunk in order, of a numbering client or of one in the field's dialect. */
const chunk = ({ agency, counts, random }: Speaking) => ({
  type: random.chance(lastChunkChance) ? 2 : 1,
  agency: agency.id,
  seq: counts ? agency.chunks.length + 1 : undefined,
  payload: payload(random)
})

const spelled = (random: Random, message: ReturnType<typeof chunk>): Uint8Array =>
  json(random, {
    type_message: random.chance(0.5) ? message.type : String(message.type),
    agency: random.chance(0.5) ? message.agency : String(message.agency),
    seq: message.seq,
    payload: message.payload
  })

const items = (bets: ReadonlyArray<string>) => bets.map((bet) => bet.split("\t"))

/** A stored chunk again, as it was or with a difference. */
const repetition = (speaking: Speaking): Uint8Array => {
  const { agency, counts, random } = speaking
  const seq = random.integer(1, agency.chunks.length)
  const stored = agency.chunks[seq - 1]
  if (counts && stored !== undefined) {
    const bets = items(stored.bets)
    if (random.chance(0.3)) bets.splice(random.integer(0, bets.length), 1)
    const type = random.chance(0.9) === stored.last ? 2 : 1
    return json(random, { type_message: type, agency: agency.id, seq, payload: bets })
  }
  const end = speaking.repeated + random.skewed(0, 100)
  const bets = items(agency.bets.slice(speaking.repeated, end))
  speaking.repeated = end
  if (random.chance(0.1)) bets.splice(random.integer(0, bets.length), 1)
  const type = random.chance(0.01) ? 2 : 1
  const news = random.chance(0.1) ? payload(random) : []
  return json(random, { type_message: type, agency: agency.id, payload: [...bets, ...news] })
}

const body = (speaking: Speaking): Uint8Array => {
  const { agency, random } = speaking
  const message = chunk(speaking)
  const dice = random.integer(0, 99)
  if (dice < 30) return spelled(random, message)
  if (dice < 42) return repetition(speaking)
  if (dice < 57) return damaged(random, spelled(random, message))
  if (dice < 84) return perverted(random, message)
  if (dice < 90) {
    return json(random, { type_message: random.chance(0.5) ? 4 : "4", agency: agency.id })
  }
  if (dice < 92) return spelled(random, { ...message, seq: random.skewed(1, 2 ** 53 - 1) })
  if (dice < 95) return spelled(random, { ...message, agency: agency.id + random.integer(-3, 3) })
  if (dice < 97) return spelled(random, { ...message, agency: 2 ** 31 + random.integer(0, 9) })
  if (dice < 98) return json(random, { type_message: 3, agency: agency.id, payload: null })
  return random.chance(0.2)
    ? bomb(random, message, frameBytesMax - random.skewed(0, 1000))
    : damaged(random, json(random, { type_message: 4, agency: agency.id }))
}

const lengths = [0, 1, 4, frameBytesMax, frameBytesMax + 1, 2 ** 31, 2 ** 32 - 1] as const

/** Mostly the frame; sometimes with another length, or only some bytes of it. */
const framing = (random: Random, inside: Uint8Array): Uint8Array => {
  const dice = random.integer(0, 199)
  if (dice === 0) return framed(inside, random.pick(lengths))
  if (dice === 1) return framed(inside, Math.max(0, inside.length + random.integer(-5, 5)))
  if (dice === 2) return damaged(random, framed(inside))
  return framed(inside)
}

const cutsOf = (random: Random, length: number): ReadonlyArray<number> => {
  const pieces = random.pick([0, 0, 0, 1, 2, 8])
  if (length < 200 && random.chance(0.03)) return Array.from({ length }, (_, at) => at)
  return Array.from({ length: pieces }, () => random.integer(0, length)).toSorted((a, b) => a - b)
}

export type Opening = "fresh" | "resumed"

const consult = (random: Random, agency: AgencyModel): Uint8Array => {
  const message = { type_message: 3, agency: agency.id, payload: null, wait: false }
  switch (random.integer(0, 6)) {
    case 0:
      return json(random, { ...message, agency: String(agency.id), wait: undefined })
    case 1:
      return json(random, { ...message, agency: 2 ** 31 })
    case 2:
      return damaged(random, json(random, message))
    case 3:
      return perverted(random, { type: 3, agency: agency.id, seq: undefined, payload: [] })
    case 4:
      return json(random, { ...message, type_message: random.pick([1, "2", 4, 5, "6"]) })
    default:
      return json(random, message)
  }
}

/** Makes one up. What it would store is in the agency's model afterwards. */
export const converse = (
  random: Random,
  agency: AgencyModel,
  inRoster: (agency: number) => boolean,
  opening: Opening
): Conversation => {
  const door = opening === "fresh" && random.chance(0.15) ? "consult" : "bets"
  const stored = agency.chunks.length
  for (;;) {
    const model = new ConnectionModel(door, agency, inRoster)
    const speaking = { random, agency, counts: random.chance(0.6), repeated: 0 }
    const bursts: Array<Burst> = []
    const say = (bytes: Uint8Array) => {
      bursts.push({ bytes, cuts: cutsOf(random, bytes.length), answers: model.answers.length })
    }
    if (opening === "resumed") {
      const resume = framed(json(random, { type_message: 4, agency: agency.id }))
      model.feed(resume)
      say(resume)
    }
    for (let left = random.skewed(1, 12); left > 0 && !model.closed; left--) {
      const pipelined: Array<Uint8Array> = []
      for (let frames = random.skewed(1, 8); frames > 0; frames--) {
        const inside = door === "bets" ? body(speaking) : consult(random, agency)
        const bytes = framing(random, inside)
        model.feed(bytes)
        pipelined.push(bytes)
      }
      say(Buffer.concat(pipelined))
    }
    // Other agencies' models are not ours to change.
    if (!model.foreign) return { door, bursts, model }
    agency.truncate(stored)
  }
}
