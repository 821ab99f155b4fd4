import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { once } from "node:events"
import { type AddressInfo, createServer, type Socket } from "node:net"
import { AgencyId } from "../../../src/domain/Agency.ts"
import { betOfFields } from "../../../src/domain/Bet.ts"
import type { Request } from "../../../src/domain/Message.ts"
import { openConnection } from "../../../src/services/agency/CentralConnection.ts"
import { waitUntil } from "../../support/WaitUntil.ts"
import { frame } from "../../support/Wire.ts"

const agency = AgencyId.make(3)
const bet = Option.getOrThrow(betOfFields(["Ana", "Vera", "30904465", "1999-03-17", "1"]))

/** A peer that does to each connection what is asked, and the address it listens on. */
const peer = (serve: (socket: Socket) => void) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const sockets = new Set<Socket>()
      const server = createServer((socket) => {
        sockets.add(socket)
        socket.on("error", () => {}).once("close", () => sockets.delete(socket))
        serve(socket)
      }).listen(0, "127.0.0.1")
      await once(server, "listening")
      const { port } = server.address() as AddressInfo
      return { address: { host: "127.0.0.1", port }, server, sockets }
    }),
    ({ server, sockets }) =>
      Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
        server.close()
      })
  )

/** Longer than a test may take: what is waited for this long was waited for in vain. */
const timeouts = { connectTimeoutMs: 60_000, answerTimeoutMs: 60_000 }

describe("a connection that the central closed", () => {
  const answer = frame({ type_message: 4, seq: 0, bets: 0, digest: "", finished: false })

  it.live("is known to be closed also by who sends on it after it has long ended", () =>
    Effect.gen(function*() {
      const { address, sockets } = yield* peer((socket) => {
        socket.once("data", () => socket.end(answer))
      })
      const connection = yield* openConnection(address, timeouts)
      yield* connection.send({ _tag: "Resume", agency })
      assert.strictEqual((yield* connection.receive)._tag, "ResumePoint")
      yield* Effect.promise(() => waitUntil("the end of the connection", () => sockets.size === 0))
      const lost = yield* Effect.flip(
        connection.send({ _tag: "SendChunk", agency, seq: 1, bets: [bet] })
      )
      assert.deepInclude(lost, { problem: "the central closed the connection", closed: true })
    }).pipe(Effect.scoped))

  it.live("is told from one that broke", () =>
    Effect.gen(function*() {
      const { address } = yield* peer((socket) => {
        socket.once("data", () => socket.resetAndDestroy())
      })
      const connection = yield* openConnection(address, timeouts)
      yield* connection.send({ _tag: "Resume", agency })
      const lost = yield* Effect.flip(connection.receive)
      assert.strictEqual(lost._tag, "ConnectionLost")
      assert.deepInclude(lost, { problem: "ECONNRESET" })
      assert.notProperty(lost, "closed")
    }).pipe(Effect.scoped))
})

describe("a connection that is left", () => {
  it.live("doesn't wait for a central that takes nothing in", () =>
    Effect.gen(function*() {
      const open = () =>
        process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length
      yield* Effect.promise(() => waitUntil("other tests' sockets to go", () => open() === 0))
      const { address, sockets } = yield* peer((socket) => socket.pause())
      const bets = Array.from({ length: 10_000 }, () => bet)
      const chunk: Request = { _tag: "SendChunk", agency, seq: 1, bets }
      const lost = yield* openConnection(address, { ...timeouts, answerTimeoutMs: 200 }).pipe(
        Effect.flatMap(({ send }) => Effect.forever(send(chunk))),
        Effect.scoped,
        Effect.flip
      )
      assert.match(lost.problem, /no answer/)
      yield* Effect.promise(() =>
        waitUntil("the agency's end to be closed", () => open() === sockets.size)
      )
    }).pipe(Effect.scoped))
})
