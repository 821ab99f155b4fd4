/** Sockets that break before they are anybody's connection. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { channel } from "node:diagnostics_channel"
import { connect, type Socket } from "node:net"
import { LogWriter, OperatorLog } from "../../../src/services/base/OperatorLog.ts"
import { decodeSettings, Settings } from "../../../src/services/base/Settings.ts"
import { openDoor } from "../../../src/services/intake/Acceptor.ts"
import { Connections } from "../../../src/services/intake/Connections.ts"
import { Refusals } from "../../../src/services/intake/Refusals.ts"
import { strictKeeperLayer } from "../../support/Kept.ts"
import { waitUntil } from "../../support/WaitUntil.ts"

interface Accepted {
  readonly socket: Socket
}
const isAccepted = (message: unknown): message is Accepted =>
  typeof message === "object" && message !== null && "socket" in message

/** Node tells here of each socket that a server was given, as soon as the server's callback has run. */
const acceptedSockets = channel("net.server.socket")

describe("a socket", () => {
  it.live("that is reset before it was taken in ends with its connection, and nothing else", () =>
    Effect.gen(function*() {
      const settings = yield* decodeSettings("the test", {}, {})
      let log = ""
      const writer = new LogWriter({ level: "DEBUG", format: "text", flushMs: 0 }, (text) => {
        log += text
      })
      const services = Connections.layer.pipe(
        Layer.provideMerge(Refusals.layer),
        Layer.provideMerge(Layer.mergeAll(
          strictKeeperLayer,
          Layer.succeed(Settings, settings),
          Layer.succeed(OperatorLog, writer)
        ))
      )
      yield* Effect.gen(function*() {
        const port = yield* openDoor("bets", { host: "127.0.0.1", port: 0 })
        const connections = yield* Connections
        let broken = 0
        const reset = (message: unknown) => {
          // An error that nobody listens for would end this process.
          if (isAccepted(message)) message.socket.destroy(new Error("reset by the test"))
          broken++
        }
        acceptedSockets.subscribe(reset)
        yield* Effect.promise(async () => {
          try {
            for (let index = 0; index < 5; index++) {
              connect({ host: "127.0.0.1", port }).on("error", () => {}).resume()
            }
            await waitUntil("five resets", () => broken === 5)
            await waitUntil("their ends", () => log.split("connection_closed").length === 6)
          } finally {
            acceptedSockets.unsubscribe(reset)
          }
        })
        assert.strictEqual(connections.size(), 0)
      }).pipe(Effect.scoped, Effect.provide(services))
    }))
})
