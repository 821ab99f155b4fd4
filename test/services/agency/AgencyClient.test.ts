import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Schema, Stream } from "effect"
import { createServer } from "node:net"
import { betOfFields } from "../../../src/domain/Bet.ts"
import type { DeliveryProgress } from "../../../src/services/agency/AgencyClient.ts"
import { bet, fileOf, onceTo, rejection, trial } from "../../support/AgencyTrial.ts"
import { freePort } from "../../support/FreePorts.ts"
import { sales } from "../../support/Sales.ts"
import type { Reaction } from "../../support/ScriptedCentral.ts"
import { waitUntil } from "../../support/WaitUntil.ts"

describe("delivering", () => {
  it.live("sends chunks numbered from 1, then the last, each logged when it is stored", () =>
    Effect.gen(function*() {
      const { central, client, log } = yield* trial
      const bets = sales(3, 25)
      const { deliver } = yield* client()
      assert.strictEqual(yield* deliver(fileOf(bets)), 25)
      assert.deepStrictEqual(central.bets, bets)
      assert.deepStrictEqual(
        central.received.map((
          { payload, seq, type_message }
        ) => [type_message, seq, payload?.length]),
        [[4, undefined, undefined], [1, 1, 10], [1, 2, 10], [2, 3, 5]]
      )
      assert.deepStrictEqual(
        log().map((line) => line.replace(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d /, "")),
        [
          ...[10, 10, 5].map((count) =>
            `INFO     action: apuestas_enviadas | result: success | agencia: 3 | cantidad: ${count}`
          ),
          "INFO     action: delivered | result: success | agencia: 3 | cantidad: 25 "
          + "| detail: all delivered, waiting for the draw"
        ]
      )
    }).pipe(Effect.scoped))

  it.live("marks the last full chunk as the last, and sends an empty one only for an empty file", () =>
    Effect.gen(function*() {
      const full = yield* trial
      yield* (yield* full.client()).deliver(fileOf(sales(3, 20)))
      assert.deepStrictEqual(full.central.chunks().map(({ type_message }) => type_message), [1, 2])
      const empty = yield* trial
      assert.strictEqual(yield* (yield* empty.client()).deliver(Stream.empty), 0)
      assert.deepStrictEqual(empty.central.chunks().map(({ payload }) => payload), [[]])
      assert.isTrue(empty.central.finished)
    }).pipe(Effect.scoped))

  it.live("sends a name with a comma as five strings, every other bet as one", () =>
    Effect.gen(function*() {
      const { central, client } = yield* trial
      const fields = ["Federico", "Lorca, hijo", "30904465", "1999-03-17", "2201"]
      const plain = "Ana \"Anita\",Núñez,30904465,1999-03-17,2201"
      const lorca = { line: 2, bet: Option.getOrThrow(betOfFields(fields)) }
      const { deliver } = yield* client()
      yield* deliver(Stream.make({ line: 1, bet: bet(plain) }, lorca))
      assert.deepStrictEqual(central.chunks()[0]?.payload, [plain, fields])
    }).pipe(Effect.scoped))

  it.live("keeps a window of chunks in flight and no more", () =>
    Effect.gen(function*() {
      const { central, client } = yield* trial
      central.react = ({ seq }) => seq === undefined ? "serve" : "hold"
      const { deliver } = yield* client({ windowChunks: 4 })
      const done = yield* Effect.forkChild(deliver(fileOf(sales(3, 95))))
      let answered = 0
      while (answered < 10) {
        const expected = Math.min(10, answered + 4)
        yield* Effect.promise(() =>
          waitUntil(`${expected} chunks sent`, () => central.chunks().length === expected)
        )
        answered = expected
        central.release()
      }
      assert.strictEqual(yield* Fiber.join(done), 95)
    }).pipe(Effect.scoped))

  it.live("tells how far it is, and when it waits for the central", () =>
    Effect.gen(function*() {
      const { central, client } = yield* trial
      const seen: Array<DeliveryProgress> = []
      const { deliver } = yield* client({ windowChunks: 1 })
      let cuts = 0
      central.react = ({ seq }) => (seq === undefined || seq === 2) && cuts++ < 2 ? "cut" : "serve"
      yield* deliver(fileOf(sales(3, 25)), { onProgress: (progress) => seen.push(progress) })
      assert.deepStrictEqual(seen, [
        { bets: undefined, waiting: true },
        { bets: undefined, waiting: true },
        { bets: 0, waiting: false },
        { bets: 10, waiting: false },
        { bets: 20, waiting: false },
        { bets: 25, waiting: false }
      ])
      central.bets.length = central.seq = 0
      central.finished = false
      seen.length = cuts = 0
      central.react = ({ seq }) => seq === 2 && cuts++ < 1 ? "cut" : "serve"
      yield* deliver(fileOf(sales(3, 25)), { onProgress: (progress) => seen.push(progress) })
      assert.deepStrictEqual(seen.map(({ bets, waiting }) => waiting ? "waiting" : bets), [
        0,
        10,
        "waiting",
        10,
        20,
        25
      ])
    }).pipe(Effect.scoped))
})

describe("going on where the central got to", () => {
  it.live("sends the rest, whatever the chunk size was before", () =>
    Effect.gen(function*() {
      const { central, client, log } = yield* trial
      const bets = sales(3, 50)
      central.bets.push(...bets.slice(0, 33))
      central.seq = 11
      assert.strictEqual(yield* (yield* client()).deliver(fileOf(bets)), 50)
      assert.deepStrictEqual(central.bets, bets)
      assert.deepStrictEqual(central.chunks().map(({ seq }) => seq), [12, 13])
      assert.match(
        log()[0] ?? "",
        /action: resume \| result: success \| agencia: 3 \| seq: 11 \| cantidad: 33$/
      )
    }).pipe(Effect.scoped))

  it.live("sends only the empty last chunk when all bets are stored but not the mark", () =>
    Effect.gen(function*() {
      const { central, client } = yield* trial
      const bets = sales(3, 20)
      central.bets.push(...bets)
      central.seq = 2
      yield* (yield* client()).deliver(fileOf(bets))
      assert.deepStrictEqual(central.chunks().map(({ payload, seq }) => [seq, payload]), [[3, []]])
    }).pipe(Effect.scoped))

  it.live("sends nothing when the central has everything", () =>
    Effect.gen(function*() {
      const { central, client } = yield* trial
      const bets = sales(3, 20)
      central.bets.push(...bets)
      central.seq = 2
      central.finished = true
      assert.strictEqual(yield* (yield* client()).deliver(fileOf(bets)), 20)
      assert.deepStrictEqual(central.chunks(), [])
    }).pipe(Effect.scoped))

  for (
    const [what, file, finished] of [
      ["differs in one bet", [...sales(3, 19), ...sales(4, 1)], false],
      ["is shorter", sales(3, 19), false],
      ["goes on after the central's last", sales(3, 21), true]
    ] as const
  ) {
    it.live(`stops, sending nothing, when the file ${what}`, () =>
      Effect.gen(function*() {
        const { central, client } = yield* trial
        central.bets.push(...sales(3, 20))
        central.seq = 2
        central.finished = finished
        const error = yield* Effect.flip((yield* client()).deliver(fileOf(file)))
        assert.strictEqual(error._tag, "ResumeMismatch")
        assert.match(
          error.message,
          /^agency 3: the central holds 20 bets.*Send the file with which the delivery began/
        )
        assert.deepStrictEqual(central.chunks(), [])
      }).pipe(Effect.scoped))
  }
})

describe("when something fails", () => {
  it.live.prop(
    "stores every bet once and in order, whatever is cut, lost or refused for a while",
    {
      faults: Schema.Array(
        Schema.Literals([
          "cut",
          "swallow",
          "serve",
          "serve",
          "LEDGER_UNAVAILABLE",
          "OVERLOADED",
          "gap"
        ])
      ).check(Schema.isMaxLength(30)),
      count: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 120 })),
      chunkBets: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 30 }))
    },
    ({ chunkBets, count, faults }) =>
      Effect.gen(function*() {
        const { central, client } = yield* trial
        let next = 0
        let lastGap = 0
        central.react = (message) => {
          const fault = faults[next++] ?? "serve"
          if (fault === "cut" || fault === "serve") return fault
          if (message.seq === undefined || message.seq <= central.seq) return "serve"
          if (fault === "swallow") return fault
          if (fault !== "gap") return rejection(message.seq, fault, { retry_after_ms: 1 })
          // Twice without progress in between is more than a client should put up with.
          if (lastGap === central.seq + 1) return "serve"
          lastGap = central.seq + 1
          return rejection(message.seq, "SEQUENCE_GAP", { expected_seq: central.seq + 1 })
        }
        const bets = sales(3, count)
        const { deliver } = yield* client({ chunkBets })
        assert.strictEqual(yield* deliver(fileOf(bets)), count)
        assert.deepStrictEqual(central.bets, bets)
        assert.isTrue(central.finished)
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 60 } }
  )

  it.live("goes on after two gaps when a chunk was stored in between, its answer lost", () =>
    Effect.gen(function*() {
      const { central, client } = yield* trial
      const script = new Map<number, Array<Reaction>>([
        [1, [rejection(1, "SEQUENCE_GAP"), "swallow"]],
        [2, [rejection(2, "SEQUENCE_GAP")]]
      ])
      central.react = ({ seq }) => script.get(seq ?? 0)?.shift() ?? "serve"
      const bets = sales(3, 30)
      yield* (yield* client({ windowChunks: 1 })).deliver(fileOf(bets))
      assert.deepStrictEqual(central.bets, bets)
      assert.strictEqual(central.connections, 4)
    }).pipe(Effect.scoped))

  it.live("names the port of a central that isn't there, and doesn't fill the log with it", () =>
    Effect.gen(function*() {
      const { client, log } = yield* trial
      const nowhere = { host: "127.0.0.1", port: yield* Effect.promise(freePort) }
      const options = { servers: [nowhere], consults: [nowhere], giveUpAfterMs: 1500 } as const
      const { deliver, winners } = yield* client(options)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(deliver(fileOf(sales(3, 5))))))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(winners)))
      const lines = log().map((line) => line.replace(/^\S+ \S+ /, ""))
      for (const action of ["apuestas_enviadas", "consulta_ganadores"]) {
        const told = lines.filter((line) => line.includes(action))
        // There were far more attempts: the waits are 10 ms at most, also where the machine is busy.
        assert.lengthOf(told, 10)
        for (const line of told) {
          assert.match(
            line,
            /^WARNING +action: \w+ \| result: fail \| agencia: 3 \| error: ECONNREFUSED \| retry_in_ms: \d+ \| central: 127\.0\.0\.1:\d+$/
          )
          assert.include(line, `:${nowhere.port}`)
        }
      }
    }).pipe(Effect.scoped))

  it.live("waits as long as the central asks for", () =>
    Effect.gen(function*() {
      const { central, client } = yield* trial
      onceTo(central, 2, (seq) => rejection(seq, "OVERLOADED", { retry_after_ms: 80 }))
      const start = performance.now()
      yield* (yield* client()).deliver(fileOf(sales(3, 30)))
      assert.isAtLeast(performance.now() - start, 80)
      assert.strictEqual(central.connections, 2)
    }).pipe(Effect.scoped))

  it.live("connects again when the central is silent", () =>
    Effect.gen(function*() {
      const { central, client } = yield* trial
      onceTo(central, 2, () => "ignore")
      const bets = sales(3, 30)
      yield* (yield* client({ answerTimeoutMs: 50 })).deliver(fileOf(bets))
      assert.deepStrictEqual(central.bets, bets)
      assert.strictEqual(central.connections, 2)
    }).pipe(Effect.scoped))

  it.live("names a refused bet by its line of the file", () =>
    Effect.gen(function*() {
      const { central, client } = yield* trial
      central.react = ({ seq }) => seq === 2 ? rejection(seq, "INVALID_BET", { index: 4 }) : "serve"
      const error = yield* Effect.flip((yield* client()).deliver(fileOf(sales(3, 30), 101)))
      assert.strictEqual(error._tag, "BetRefused")
      assert.match(error.message, /^agency 3: line 115 of the bet file was refused \(INVALID_BET/)
    }).pipe(Effect.scoped))

  it.live("ends with what to do when trying again can't help", () =>
    Effect.gen(function*() {
      const { central, client } = yield* trial
      central.react = () => ({
        type_message: 3,
        payload: null,
        code: "UNKNOWN_AGENCY",
        message: "not here"
      })
      const error = yield* Effect.flip((yield* client()).deliver(fileOf(sales(3, 30))))
      assert.strictEqual(
        error.message,
        "agency 3: UNKNOWN_AGENCY: not here. Check the agency's id, or ask the central to add it."
      )
      assert.strictEqual(central.connections, 1)
    }).pipe(Effect.scoped))

  it.live("asks again where to go on after a conflict, and ends when that doesn't help", () =>
    Effect.gen(function*() {
      const cured = yield* trial
      onceTo(cured.central, 2, (seq) => rejection(seq, "SEQUENCE_CONFLICT"))
      const bets = sales(3, 30)
      yield* (yield* cured.client()).deliver(fileOf(bets))
      assert.deepStrictEqual(cured.central.bets, bets)
      const { central, client } = yield* trial
      central.react = ({ seq }) => seq === 2 ? rejection(seq, "SEQUENCE_CONFLICT") : "serve"
      const error = yield* Effect.flip((yield* client({ windowChunks: 1 })).deliver(fileOf(bets)))
      assert.match(error.message, /SEQUENCE_CONFLICT/)
    }).pipe(Effect.scoped))

  it.live("ends at once when the other side speaks another protocol", () =>
    Effect.gen(function*() {
      const { central, client } = yield* trial
      central.react = () => ({ hello: "world" })
      const error = yield* Effect.flip((yield* client()).deliver(fileOf([])))
      assert.strictEqual(error._tag, "AnswerUnreadable")
      assert.match(error.message, /^127\.0\.0\.1:\d+ does not speak this protocol/)
    }).pipe(Effect.scoped))

  it.live("shares an agency with another client without a quarrel, and says what is going on", () =>
    Effect.gen(function*() {
      const { central, client, log } = yield* trial
      const bets = sales(3, 4000)
      const rivals = [yield* client({ chunkBets: 2 }), yield* client({ chunkBets: 3 })]
      const held = yield* Effect.forEach(rivals, ({ deliver }) => deliver(fileOf(bets)), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(held, [4000, 4000])
      assert.deepStrictEqual(central.bets, bets)
      assert.isAtLeast(central.takeovers, 2)
      assert.isAtMost(central.takeovers, 40)
      assert.match(
        log().find((line) => line.includes("superseded")) ?? "",
        /WARNING {2}action: superseded \| result: success \| agencia: 3 \| detail: another client of /
      )
    }).pipe(Effect.scoped))

  it.live("gives up, naming the address, when nobody is there for long enough", () =>
    Effect.gen(function*() {
      const server = createServer().listen(0, "127.0.0.1")
      yield* Effect.promise(() => waitUntil("a port", () => server.listening))
      const address = server.address()
      server.close()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const { client, log } = yield* trial
      const { deliver } = yield* client({
        servers: [{ host: "127.0.0.1", port }],
        giveUpAfterMs: 60
      })
      const error = yield* Effect.flip(deliver(fileOf([])))
      assert.match(
        error.message,
        new RegExp(`^127\\.0\\.0\\.1:${port} \\(ECONNREFUSED\\): no progress for `)
      )
      assert.match(
        log()[0] ?? "",
        /WARNING {2}action: apuestas_enviadas \| result: fail .*ECONNREFUSED/
      )
    }).pipe(Effect.scoped))
})

describe("consulting", () => {
  it.live("asks until the draw is held, each time on a connection that isn't held", () =>
    Effect.gen(function*() {
      const { central, client, log } = yield* trial
      central.react = () => {
        if (central.received.length === 4) central.winners = ["30904465", "27000111"]
        return "serve"
      }
      const { winners } = yield* client()
      assert.deepStrictEqual(yield* winners, ["30904465", "27000111"])
      assert.deepStrictEqual(
        central.received.map(({ connection, wait }) => [connection, wait]),
        [[1, false], [2, false], [3, false], [4, false]]
      )
      const info = log().filter((line) => line.includes(" INFO "))
      assert.match(
        info.join("\n"),
        /action: consulta_ganadores \| result: success \| cant_ganadores: 2$/
      )
    }).pipe(Effect.scoped))

  it.live("asks again after a lost connection, and knows that none won from not knowing", () =>
    Effect.gen(function*() {
      const { central, client } = yield* trial
      central.winners = []
      central.react = ({ connection }) => connection < 4 ? "cut" : "serve"
      assert.deepStrictEqual(yield* (yield* client()).winners, [])
    }).pipe(Effect.scoped))

  it.live("ends when the agency is unknown", () =>
    Effect.gen(function*() {
      const { central, client } = yield* trial
      central.react = () => ({
        type_message: 6,
        payload: null,
        code: "UNKNOWN_AGENCY",
        message: "not here"
      })
      const error = yield* Effect.flip((yield* client()).winners)
      assert.match(error.message, /UNKNOWN_AGENCY/)
    }).pipe(Effect.scoped))
})
