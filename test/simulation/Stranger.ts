/** Other clients of the ports: connections that send nonsense, break off in the middle of a frame, or stay idle. */
import type { AgencyId } from "../../src/domain/Agency.ts"
import { encodeFrame } from "../../src/domain/Frame.ts"
import { encodeRequest } from "../../src/domain/Message.ts"
import type { Asked } from "./Conversation.ts"
import type { AgencyWorld } from "./SimulatedAgency.ts"
import type { Link } from "./SimulatedNetwork.ts"

const utf8 = new TextEncoder()
const nonsense: Asked = { _tag: "Nonsense" }
const item = "Nadie,De Aquí,99999999,1999-03-17,7574"
const frameOf = (text: string): Uint8Array => encodeFrame(utf8.encode(text))

const chunkText = (agency: number, payload: string, more = ""): string =>
  `{"type_message": 1, "agency": ${agency}${more}, "payload": [${payload}]}`

export const sendStranger = (
  world: AgencyWorld,
  roster: readonly [AgencyId, ...Array<AgencyId>]
) => {
  const { random, timeline } = world
  const agency = random.pick(roster)
  const other = random.pick(roster)
  const texts = [
    "[]",
    "{\"type_message\": 9, \"agency\": 1}",
    "not JSON",
    chunkText(1_000_000 + agency, `"${item}"`),
    chunkText(agency, "\"a,b,c\""),
    chunkText(agency, `"${item}", 7`, ", \"seq\": 1"),
    chunkText(agency, `"${item}"`, ", \"seq\": 1000000"),
    "{\"type_message\": 4, \"agency\": \"x\"}"
  ] as const
  const door = random.chance(0.8) ? "bets" : "consult"
  const acts: readonly [(link: Link) => void, ...Array<(link: Link) => void>] = [
    () => {},
    (link) => link.ask(nonsense, frameOf(random.pick(texts))),
    (link) => link.ask(nonsense, Uint8Array.of(0, 0, 0, 0)),
    (link) => link.ask(nonsense, Uint8Array.of(255, 255, 255, 255)),
    (link) => link.send(frameOf(random.pick(texts)).subarray(0, random.integer(1, 5))),
    (link) => {
      // It takes over from the agency, and then speaks for another.
      if (door === "consult") return link.ask(nonsense, encodeRequest({ _tag: "Resume", agency }))
      timeline.count("takeover by a stranger")
      link.ask({ _tag: "Resume", agency }, encodeRequest({ _tag: "Resume", agency }))
      if (other !== agency) link.ask(nonsense, frameOf(chunkText(other, `"${item}"`)))
    },
    (link) =>
      door === "bets"
        ? link.ask(
          nonsense,
          encodeRequest({ _tag: "ConsultWinners", agency, wait: true })
        )
        : link.ask(nonsense, frameOf(random.pick(texts)))
  ]
  const act = random.pick(acts)
  const link: Link = world.connect(door, {
    onOpen: () => act(link),
    onAnswer: () => {},
    onClosed: () => {}
  })
  timeline.after(random.skewed(50, 8000), () => link.abandon(random.chance(0.2)))
}
