/** Turns of the bets port whose frames are parsed when the test says so, over a ledger that fails when it says so. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Layer, Option, PubSub, Stream } from "effect"
import { AgencyId } from "../../../src/domain/Agency.ts"
import { Epoch } from "../../../src/domain/Claim.ts"
import { DrawName } from "../../../src/domain/Draw.ts"
import { encodeFrame } from "../../../src/domain/Frame.ts"
import { nothingStored } from "../../../src/domain/Standing.ts"
import { parseMessage } from "../../../src/parser/ChunkScanner.ts"
import { Keeper } from "../../../src/services/base/Keeper.ts"
import { Lifetime } from "../../../src/services/base/Lifetime.ts"
import { LogWriter, OperatorLog } from "../../../src/services/base/OperatorLog.ts"
import { decodeSettings, Settings } from "../../../src/services/base/Settings.ts"
import {
  ChunkParser,
  type ParseOutcome,
  ParserFailed
} from "../../../src/services/intake/ChunkParser.ts"
import { Connections } from "../../../src/services/intake/Connections.ts"
import {
  BetLedger,
  LedgerInDoubt,
  LedgerUnavailable,
  type News
} from "../../../src/services/ledger/BetLedger.ts"
import { intakeLayer } from "../../../src/services/Server.ts"
import { RememberingTransport } from "../../support/RememberingTransport.ts"
import { sales } from "../../support/Sales.ts"
import { waitUntil } from "../../support/WaitUntil.ts"

const utf8 = new TextEncoder()

interface HeldFrame {
  readonly text: string
  readonly parse: () => void
  readonly fail: () => void
}

interface Fault {
  claim: boolean
  commit: "stores" | "fails" | "lost" | "fenced"
  /** How often a commit has failed. */
  tries: number
  read: boolean
  holding: (text: string) => boolean
}

const intake = (ledgerSettings: Readonly<Record<string, number>> = {}) =>
  Effect.gen(function*() {
    /** What the parsers have in hand, as long as `holding` says to. */
    const held: Array<HeldFrame> = []
    const fault: Fault = {
      claim: false,
      commit: "stores",
      tries: 0,
      read: false,
      holding: (text: string): boolean => text === ""
    }
    const parser = ChunkParser.of({
      pids: () => [],
      close: Effect.void,
      parse: (holders, each) =>
        Effect.callback<void>((resume) => {
          let left = holders.length
          if (left === 0) return resume(Effect.void)
          for (const [index, { frame }] of holders.entries()) {
            const text = new TextDecoder().decode(frame)
            const done = (outcome: ParseOutcome) => {
              each(outcome, index)
              if (--left === 0) resume(Effect.void)
            }
            const parse = () => done(parseMessage(utf8.encode(text)))
            if (!fault.holding(text)) parse()
            else {
              const fail = () => done(new ParserFailed({ problem: "planted by the test" }))
              held.push({ text, parse, fail })
            }
          }
        })
    })
    const unavailable = (operation: string) =>
      Effect.fail(new LedgerUnavailable({ operation, cause: new Error("planted by the test") }))
    const stored: Array<string> = []
    let standing = nothingStored
    let epoch = 0
    /** Chunks that another server has stored under a claim of its own. */
    let storedElsewhere = 0
    const news = yield* PubSub.unbounded<News>()
    const reading = yield* Deferred.make<void>()
    const ledger = BetLedger.of({
      opened: {
        drawName: DrawName.make("test"),
        isNew: true,
        bets: 0,
        finished: 0
      },
      groupsMax: 1,
      news: Stream.fromPubSub(news),
      claim: () =>
        Effect.suspend(() =>
          fault.claim
            ? unavailable("claim")
            : Effect.succeed({ ...standing, epoch: Epoch.make(++epoch) })
        ),
      standing: Effect.succeed({ finished: new Set(), draw: Option.none() }),
      toldRecords: Effect.succeed(new Map()),
      commit: (chunks) =>
        Effect.suspend((): ReturnType<BetLedger["Service"]["commit"]> => {
          if (fault.commit === "fails") {
            fault.tries++
            return unavailable("commit")
          }
          if (fault.commit === "lost") return Effect.fail(new LedgerInDoubt({ cause: "planted" }))
          const fenced = new Set(
            fault.commit === "fenced" ? chunks.map(({ agency }) => agency) : []
          )
          if (fenced.size > 0) return Effect.succeed({ fenced })
          for (const { agency, bets, seq } of chunks) {
            stored.push(`${agency}/${seq}`)
            standing = { seq, bets: standing.bets + bets, finished: false }
          }
          return Effect.succeed({ fenced })
        }),
      chunkAt: () => unavailable("read"),
      readBets: () => unavailable("read"),
      digest: () =>
        Effect.suspend(() =>
          fault.read
            ? Effect.andThen(Deferred.await(reading), unavailable("read"))
            : Effect.succeed({ seq: standing.seq + storedElsewhere, bets: 0, digest: "" })
        ),
      holdDraw: unavailable("draw"),
      told: () => Effect.void
    })
    const log: Array<string> = []
    const writer = new LogWriter(
      { level: "WARNING", format: "text", flushMs: 0 },
      (lines) => log.push(lines)
    )
    const settings = yield* decodeSettings("the test", { ledger: ledgerSettings }, {})
    const services = intakeLayer.pipe(
      Layer.provideMerge(Keeper.layer),
      Layer.provideMerge(
        Layer.mergeAll(
          Layer.succeed(ChunkParser, parser),
          Layer.succeed(BetLedger, ledger),
          Lifetime.layer
        )
      ),
      Layer.provideMerge(
        Layer.mergeAll(Layer.succeed(Settings, settings), Layer.succeed(OperatorLog, writer))
      )
    )
    const context = yield* Layer.build(services)
    const connections = yield* Connections.pipe(Effect.provide(context))
    const connect = () => {
      const transport = new RememberingTransport()
      const connection = connections.open("bets", transport)
      transport.onGone = () => connection.onGone()
      return {
        transport,
        send: (...messages: ReadonlyArray<unknown>) => {
          for (const message of messages) {
            connection.onBytes(encodeFrame(utf8.encode(JSON.stringify(message))))
          }
        },
        answered: (count: number) =>
          Effect.promise(() => waitUntil("the answers", () => transport.answers.length === count)),
        closed: Effect.promise(() => waitUntil("the end", () => transport.finished))
      }
    }
    return {
      connect,
      claims: () => epoch,
      hear: (one: News) => PubSub.publish(news, one),
      storeElsewhere: () => {
        storedElsewhere++
      },
      lose: () => {
        standing = nothingStored
      },
      ended: Effect.exit(Context.get(context, Lifetime).awaitEnd),
      fault,
      held,
      log,
      stored,
      /** The reads that wait for it fail. */
      failReads: Deferred.done(reading, Exit.void),
      heldUntil: (count: number) =>
        Effect.promise(() => waitUntil("held frames", () => held.length === count))
    }
  })

const resume = (agency: number) => ({ type_message: 4, agency })
const chunk = (agency: number, more: Readonly<Record<string, unknown>> = {}) => ({
  type_message: 1,
  agency,
  payload: sales(agency, 2),
  ...more
})

describe("RESUME", () => {
  it.live("is answered while another agency's frame, taken with it, is still in a parser", () =>
    Effect.gen(function*() {
      const { connect, fault, held, heldUntil } = yield* intake()
      const [slow, quick] = [connect(), connect()]
      fault.holding = (text) => text.includes("\"agency\":1")
      slow.send(chunk(1))
      quick.send(resume(2))
      yield* quick.answered(1)
      assert.include(quick.transport.answers[0], { type_message: 4, seq: 0 })
      yield* heldUntil(1)
      assert.lengthOf(slow.transport.answers, 0)
      held[0]?.parse()
      yield* slow.answered(1)
    }))

  it.live("that waits for an older connection is heard when the read for that one fails", () =>
    Effect.gen(function*() {
      const { connect, failReads, fault } = yield* intake()
      const [older, newer, newest] = [connect(), connect(), connect()]
      fault.read = true
      older.send(resume(1))
      newer.send(resume(1))
      newest.send(resume(1))
      // The one between them is closed at once, and its turn is over.
      yield* newer.closed
      yield* failReads
      yield* older.answered(1)
      assert.include(older.transport.answers[0], { type_message: 3, code: "LEDGER_UNAVAILABLE" })
      fault.read = false
      yield* newest.answered(1)
      yield* older.closed
    }))
})

describe("a chunk without seq", () => {
  it.live("is not answered after RESUME when the parsers fail on it, and what is behind it is dropped", () =>
    Effect.gen(function*() {
      const { connect, fault, held, heldUntil, stored } = yield* intake()
      const agency = connect()
      agency.send(resume(1))
      yield* agency.answered(1)
      fault.holding = () => true
      agency.send(chunk(1), chunk(1))
      yield* heldUntil(1)
      held[0]?.fail()
      yield* agency.closed
      assert.lengthOf(agency.transport.answers, 1)
      assert.lengthOf(held, 1)
      assert.deepStrictEqual(stored, [])
    }))

  it.live("is not stored behind one that was refused unread", () =>
    Effect.gen(function*() {
      const { connect, fault, held, heldUntil, stored } = yield* intake()
      const agency = connect()
      agency.send(chunk(1, { seq: 1 }))
      yield* agency.answered(1)
      fault.holding = () => held.length === 0
      agency.send(chunk(1, { type_message: 1, seq: 2 }), chunk(1))
      yield* heldUntil(1)
      held[0]?.fail()
      yield* agency.answered(2)
      assert.include(agency.transport.answers[1], { code: "PARSER_FAILED" })
      yield* agency.closed
      assert.lengthOf(agency.transport.answers, 2)
      assert.deepStrictEqual(stored, ["1/1"])
    }))

  it.live("whose connection is gone doesn't stay for the next try: a newer connection is heard", () =>
    Effect.gen(function*() {
      const { connect, fault, stored } = yield* intake({ retryFirstMs: 20, retryMaxMs: 20 })
      const [gone, newer] = [connect(), connect()]
      fault.commit = "fails"
      gone.send(chunk(1))
      // It stays, as its connection is there.
      yield* Effect.promise(() => waitUntil("two tries", () => fault.tries >= 2))
      gone.transport.onGone()
      newer.send(resume(1))
      yield* newer.answered(1)
      assert.include(newer.transport.answers[0], { type_message: 4, seq: 0 })
      fault.commit = "stores"
      newer.send(chunk(1, { seq: 1 }))
      yield* newer.answered(2)
      assert.deepStrictEqual(stored, ["1/1"])
    }))
})

describe("a ledger that several servers share", () => {
  it.live("is asked for a claim with a connection's first message, and not again", () =>
    Effect.gen(function*() {
      const { claims, connect } = yield* intake()
      const [older, newer] = [connect(), connect()]
      older.send(resume(1), chunk(1, { seq: 1 }), chunk(1, { seq: 2 }))
      yield* older.answered(3)
      assert.strictEqual(claims(), 1)
      newer.send(chunk(1, { seq: 3 }))
      yield* newer.answered(1)
      assert.strictEqual(claims(), 2)
    }))

  it.live("that can't be claimed puts off who can be told, and lets a chunk without seq wait", () =>
    Effect.gen(function*() {
      const { connect, fault, log, stored } = yield* intake({ retryFirstMs: 20, retryMaxMs: 20 })
      const [counting, plain] = [connect(), connect()]
      fault.claim = true
      counting.send(resume(1), chunk(1, { seq: 1 }))
      plain.send(chunk(2))
      yield* counting.answered(2)
      for (const answer of counting.transport.answers) {
        assert.include(answer, { type_message: 3, code: "LEDGER_UNAVAILABLE" })
      }
      assert.match(log.join(""), /LEDGER_UNAVAILABLE/)
      assert.notMatch(log.join(""), /doesn't report this/)
      assert.lengthOf(plain.transport.answers, 0)
      fault.claim = false
      yield* plain.answered(1)
      assert.deepStrictEqual(stored, ["2/1"])
    }))

  it.live("closes without an answer who was claimed elsewhere, or whose commit is in doubt; the next claim tells", () =>
    Effect.gen(function*() {
      const { claims, connect, fault, stored } = yield* intake()
      for (const [index, outcome] of (["fenced", "lost"] as const).entries()) {
        for (const seq of [1, undefined]) {
          const cut = connect()
          fault.commit = outcome
          cut.send(chunk(1, seq === undefined ? {} : { seq }))
          yield* cut.closed
          assert.lengthOf(cut.transport.answers, 0, `${outcome} ${index}`)
        }
      }
      assert.deepStrictEqual(stored, [])
      fault.commit = "stores"
      const again = connect()
      again.send(chunk(1, { seq: 1 }))
      yield* again.answered(1)
      assert.strictEqual(claims(), 5)
      assert.deepStrictEqual(stored, ["1/1"])
    }))

  it.live("closes a connection when another server has claimed its agency", () =>
    Effect.gen(function*() {
      const { connect, hear } = yield* intake()
      const [one, two] = [connect(), connect()]
      one.send(chunk(1, { seq: 1 }))
      yield* one.answered(1)
      two.send(resume(2))
      yield* two.answered(1)
      yield* hear({ _tag: "Claimed", agency: AgencyId.make(1), epoch: Epoch.make(99) })
      yield* one.closed
      two.send(resume(2))
      yield* two.answered(2)
    }))

  it.live("closes a connection that asks RESUME when another server has stored more, which it doesn't know", () =>
    Effect.gen(function*() {
      const { connect, storeElsewhere } = yield* intake()
      const one = connect()
      one.send(resume(1))
      yield* one.answered(1)
      storeElsewhere()
      one.send(resume(1))
      yield* one.closed
      assert.lengthOf(one.transport.answers, 1)
    }))

  it.live("that has lost what was acknowledged ends the server, and nothing more is answered", () =>
    Effect.gen(function*() {
      const { connect, ended, log, lose } = yield* intake()
      const [before, after] = [connect(), connect()]
      before.send(chunk(1, { seq: 1 }))
      yield* before.answered(1)
      lose()
      after.send(resume(1))
      yield* after.closed
      assert.lengthOf(after.transport.answers, 0)
      const exit = yield* ended
      assert.match(
        Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "",
        /the ledger failed: .*it has lost what was acknowledged/
      )
      assert.include(
        log.join(""),
        "action: ledger_lost | result: fail | agencia: 1 | acknowledged: 2 | stored: 0"
      )
    }))
})

describe("frames that are parsed", () => {
  it.live("are no longer waited for by the open group, whatever came of them", () =>
    Effect.gen(function*() {
      const { connect } = yield* intake({ gatherMs: 1000 })
      const counting = connect()
      const began = performance.now()
      for (let seq = 1; seq <= 6; seq++) {
        counting.send(chunk(1, { seq }))
        yield* counting.answered(2 * seq - 1)
        counting.send(chunk(1, { seq: seq + 1, payload: ["not a bet"] }))
        yield* counting.answered(2 * seq)
      }
      // Each would wait for as long as a group may.
      assert.isBelow(performance.now() - began, 3000)
    }))
})
