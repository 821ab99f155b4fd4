/** Asks the central for the agency's winners, on a connection of its own for each question: none is held until the draw. */
import { Effect } from "effect"
import type { AgencyId } from "../../domain/Agency.ts"
import {
  type Address,
  ConnectionLost,
  type ConnectionTimeouts,
  openConnection
} from "./CentralConnection.ts"
import { failureOfError } from "./Refusal.ts"

/** Succeeds with the documents of the winning bets; before the draw the central says when to ask again. */
export const askForWinners = Effect.fnUntraced(
  function*(agency: AgencyId, address: Address, timeouts: ConnectionTimeouts) {
    const connection = yield* openConnection(address, timeouts)
    yield* connection.send({ _tag: "ConsultWinners", agency, wait: false })
    const answer = yield* connection.receive
    switch (answer._tag) {
      case "InformAgencyWinners":
        return answer.documents
      case "WinnersNotReady":
        return yield* new ConnectionLost({
          problem: "the draw has not been held",
          everywhere: true,
          retryAfterMs: answer.retryAfterMs
        })
      case "ErrorAnswer":
        return yield* failureOfError(agency, answer)
      default:
        return yield* connection.outOfPlace(answer)
    }
  },
  Effect.scoped
)
