/** Sessions over a network that only remembers, for tests of what is done with them. */
import type { CloseReason } from "../../src/domain/CloseReason.ts"
import { encodeFrame } from "../../src/domain/Frame.ts"
import type { Refused } from "../../src/domain/Verdict.ts"
import { FrameBudget } from "../../src/services/intake/FrameBudget.ts"
import { Session } from "../../src/services/intake/Session.ts"
import { SharedDeadline } from "../../src/services/intake/SharedDeadline.ts"
import { Turn } from "../../src/services/intake/Turn.ts"
import { strictKeeper } from "./Kept.ts"
import { RememberingTransport } from "./RememberingTransport.ts"

/** A session whose first frame was whole as the given one among all. */
export const openSession = (arrival: number, frameBudgetBytes = 1000) => {
  const transport = new RememberingTransport()
  const turns: Array<Turn> = []
  const refused: Array<Refused> = []
  const closed: Array<CloseReason> = []
  const budget = new FrameBudget(frameBudgetBytes)
  const room = new SharedDeadline<Session["connection"]>()
  const session = new Session(
    {
      roomWaitMs: 700,
      nextArrival: () => arrival,
      onFrame: (speaker, frame) => turns.push(new Turn(speaker, frame)),
      onRefused: (_, refusal) => refused.push(refusal),
      onClosed: (_, reason) => closed.push(reason)
    },
    {
      door: "bets",
      frameBytesMax: 100,
      budget,
      keeper: strictKeeper,
      deadlines: {
        frame: new SharedDeadline(),
        answers: new SharedDeadline(),
        linger: new SharedDeadline(),
        room
      }
    },
    transport
  )
  return {
    session,
    transport,
    refused,
    closed,
    budget,
    room,
    /** A whole frame comes; gives its turn, if there is none in hand. */
    send: (text = "{}"): Turn | undefined => {
      session.connection.onBytes(encodeFrame(new TextEncoder().encode(text)))
      return turns.shift()
    }
  }
}
