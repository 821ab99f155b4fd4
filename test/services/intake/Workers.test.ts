/** Turns from the queue to the answer, with a network that breaks where the test wants it to. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { encodeFrame } from "../../../src/domain/Frame.ts"
import { parseMessage } from "../../../src/parser/ChunkScanner.ts"
import { Keeper } from "../../../src/services/base/Keeper.ts"
import { Lifetime } from "../../../src/services/base/Lifetime.ts"
import { LogWriter, OperatorLog } from "../../../src/services/base/OperatorLog.ts"
import { decodeSettings, Settings } from "../../../src/services/base/Settings.ts"
import { ChunkParser } from "../../../src/services/intake/ChunkParser.ts"
import { Connections } from "../../../src/services/intake/Connections.ts"
import { intakeLayer } from "../../../src/services/Server.ts"
import { keptLedger } from "../../support/Kept.ts"
import { RememberingTransport } from "../../support/RememberingTransport.ts"
import { sales } from "../../support/Sales.ts"
import { waitUntil } from "../../support/WaitUntil.ts"

/** A peer that is gone as soon as it is sent FIN, and to whom nothing can be written if the test wants that. */
class TestTransport extends RememberingTransport {
  readonly #breaks: boolean

  constructor(breaks: boolean) {
    super()
    this.#breaks = breaks
  }
  override write(bytes: Uint8Array): void {
    if (this.#breaks) throw new Error("planted by the test")
    super.write(bytes)
  }
  override finish(callback: () => void): void {
    super.finish(callback)
    this.onGone()
  }
}

const inlineParser = Layer.succeed(ChunkParser, {
  pids: () => [],
  close: Effect.void,
  parse: (holders, each) =>
    Effect.sync(() => {
      for (const [index, { frame }] of holders.entries()) {
        // What the scanner gives is valid until it scans again.
        each(structuredClone(parseMessage(frame.slice())), index)
      }
    })
})

const intake = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "loteria-workers-"))),
    (made) => Effect.promise(() => rm(made, { recursive: true }))
  )
  let log = ""
  const writer = new LogWriter(
    { level: "INFO", format: "text", flushMs: 0 },
    (text) => (log += text)
  )
  const settings = yield* decodeSettings("the test", {}, {})
  const { agencies: roster, winningNumber } = settings.lottery
  const services = intakeLayer.pipe(
    Layer.provideMerge(Keeper.layer),
    Layer.provideMerge(
      keptLedger({ path: join(folder, "ledger.sqlite"), roster, winningNumber })
    ),
    Layer.provideMerge(Layer.mergeAll(inlineParser, Lifetime.layer)),
    Layer.provideMerge(
      Layer.mergeAll(Layer.succeed(Settings, settings), Layer.succeed(OperatorLog, writer))
    )
  )
  const context = yield* Layer.build(services)
  const connections = yield* Connections.pipe(Effect.provide(context))
  return {
    /** An agency sends a message over a new connection. */
    send: (message: Readonly<Record<string, unknown>>, breaks = false) => {
      const transport = new TestTransport(breaks)
      const connection = connections.open("bets", transport)
      transport.onGone = () => connection.onGone()
      connection.onBytes(encodeFrame(new TextEncoder().encode(JSON.stringify(message))))
      return transport
    },
    log: () => {
      writer.flush()
      return log
    }
  }
})

const chunk = (agency: number, seq: number) => ({
  type_message: 1,
  agency,
  seq,
  payload: sales(agency, 2)
})

const stored = /"type_message": ?1\b.*"seq": ?1\b/

const answered = (transport: TestTransport) =>
  Effect.promise(() => waitUntil("the answer", () => transport.written.length === 1))

describe("a defect in a turn", () => {
  it.live("ends the connection it happened on, and no other whose turn was taken with it", () =>
    Effect.gen(function*() {
      const { log, send } = yield* intake
      const before = send(chunk(1, 1))
      // Its rejection can't be written.
      const broken = send(chunk(2, 7), true)
      const after = send(chunk(3, 1))
      yield* answered(before)
      yield* answered(after)
      assert.match(after.written[0] ?? "", stored)
      assert.isTrue(broken.finished)
      assert.isFalse(before.finished)
      assert.match(
        log(),
        /CRITICAL action: defect \| result: fail \| root: turn \| ends: connection \| door: bets \| ip: 127.0.0.1 \| agencia: 2 \| defects: 1 \| cause: .*planted/
      )

      const next = send(chunk(2, 1))
      yield* answered(next)
      assert.match(next.written[0] ?? "", stored)
    }))
})
