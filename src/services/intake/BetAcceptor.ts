/** The door for bets: a listener on its own port, and its acceptor fiber. */
import { Context, Effect, Layer } from "effect"
import { Settings } from "../base/Settings.ts"
import { openDoor } from "./Acceptor.ts"

export class BetAcceptor extends Context.Service<BetAcceptor, { readonly port: number }>()(
  "loteria-nacional/services/intake/BetAcceptor"
) {
  static readonly layer = Layer.effect(
    BetAcceptor,
    Effect.gen(function*() {
      const { bets } = yield* Settings
      return { port: yield* openDoor("bets", bets) }
    })
  )
}
