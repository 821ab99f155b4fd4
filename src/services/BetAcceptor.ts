/** The door for bets: a listener on its own port and the fiber that takes its connections in. */
import { Context, Effect, Layer } from "effect"
import { openDoor } from "./Acceptor.ts"
import { Settings } from "./Settings.ts"

export class BetAcceptor extends Context.Service<BetAcceptor, { readonly port: number }>()(
  "loteria-nacional/services/BetAcceptor"
) {
  static readonly layer = Layer.effect(
    BetAcceptor,
    Effect.gen(function*() {
      const { bets } = yield* Settings
      return { port: yield* openDoor("bets", bets) }
    })
  )
}
