/** The door for consults: a listener on its own port and the fiber that takes its connections in. */
import { Context, Effect, Layer } from "effect"
import { openDoor } from "./Acceptor.ts"
import { Settings } from "./Settings.ts"

export class ConsultAcceptor extends Context.Service<ConsultAcceptor, { readonly port: number }>()(
  "loteria-nacional/services/ConsultAcceptor"
) {
  static readonly layer = Layer.effect(
    ConsultAcceptor,
    Effect.gen(function*() {
      const { consult } = yield* Settings
      return { port: yield* openDoor("consult", consult) }
    })
  )
}
