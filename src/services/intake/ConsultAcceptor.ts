/** The door for consults: a listener on its own port, and its acceptor fiber. */
import { Context, Effect, Layer } from "effect"
import { Settings } from "../base/Settings.ts"
import { openDoor } from "./Acceptor.ts"

export class ConsultAcceptor extends Context.Service<ConsultAcceptor, { readonly port: number }>()(
  "loteria-nacional/services/intake/ConsultAcceptor"
) {
  static readonly layer = Layer.effect(
    ConsultAcceptor,
    Effect.gen(function*() {
      const { consult } = yield* Settings
      return { port: yield* openDoor("consult", consult) }
    })
  )
}
