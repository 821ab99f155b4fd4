/** The agency's client with several servers of one lottery: scripted ones, which take over what the others have stored. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { AgencyOptions } from "../../../src/services/agency/AgencyClient.ts"
import { formatAddress } from "../../../src/services/agency/CentralConnection.ts"
import { fileOf, rejection, trial } from "../../support/AgencyTrial.ts"
import { freePort } from "../../support/FreePorts.ts"
import { sales } from "../../support/Sales.ts"
import { type Reaction, type Received, ScriptedCentral } from "../../support/ScriptedCentral.ts"

type Script = (message: Received) => Reaction

const startCentral = Effect.acquireRelease(
  Effect.promise(() => ScriptedCentral.start()),
  (started) => Effect.promise(() => started[Symbol.asyncDispose]())
)

/** What one of them has stored, the others know when the agency asks them where to go on. */
const catchUp = (central: ScriptedCentral, all: ReadonlyArray<ScriptedCentral>): void => {
  for (const { bets, finished, seq } of all) {
    if (seq <= central.seq) continue
    central.bets.splice(0, central.bets.length, ...bets)
    central.seq = seq
    central.finished = finished
  }
}

/** A server of one lottery for each script, and a client that prefers them in this order. */
const serversOf = Effect.fnUntraced(function*(
  scripts: ReadonlyArray<Script>,
  options: Partial<AgencyOptions> = {}
) {
  const { client, log } = yield* trial
  const all = yield* Effect.forEach(scripts, () => startCentral)
  for (const [index, central] of all.entries()) {
    central.react = (message) => {
      if (message.type_message === 4) catchUp(central, all)
      return scripts[index]?.(message) ?? "serve"
    }
  }
  const [first, ...rest] = all.map(({ address }) => address)
  const addresses = [first ?? assert.fail("no server"), ...rest] as const
  const made = yield* client({ servers: addresses, consults: addresses, ...options })
  /** Which chunks each of them got. */
  const seqs = () => all.map((central) => central.chunks().map(({ seq }) => seq))
  return { ...made, addresses, all, log, seqs }
})

const serve: Script = () => "serve"
const cut: Script = () => "cut"

/** Whatever it is sent from this chunk on is cut off. */
const dyingAt = (seq: number): Script => {
  let dead = false
  return (message) => {
    dead ||= message.seq === seq
    return dead ? "cut" : "serve"
  }
}

describe("an agency with several servers", () => {
  it.live("moves on when one can't be reached, and when one dies, and sends nothing twice", () =>
    Effect.gen(function*() {
      const nowhere = { host: "127.0.0.1", port: yield* Effect.promise(freePort) }
      const servers = yield* serversOf([dyingAt(3), serve])
      const { client, log } = yield* trial
      const [dying, living] = servers.all
      const { deliver } = yield* client({
        servers: [nowhere, ...servers.addresses],
        windowChunks: 1
      })
      const bets = sales(3, 65)
      assert.strictEqual(yield* deliver(fileOf(bets)), 65)
      assert.deepStrictEqual(living?.bets, bets)
      assert.deepStrictEqual(servers.seqs(), [[1, 2, 3], [3, 4, 5, 6, 7]])
      assert.deepStrictEqual([dying?.connections, living?.connections], [1, 1])
      const lost = log().filter((line) => line.includes("result: fail"))
      const [one, two] = servers.addresses.map(formatAddress)
      assert.match(
        lost[0] ?? "",
        new RegExp(`ECONNREFUSED .* central: ${formatAddress(nowhere)} \\| next: ${one}$`)
      )
      assert.match(lost[1] ?? "", new RegExp(`ECONNRESET .* central: ${one} \\| next: ${two}$`))
      assert.lengthOf(lost, 2)
    }).pipe(Effect.scoped))

  it.live("doesn't wait for one that asks for patience, and stays with one that serves", () =>
    Effect.gen(function*() {
      const patience = { retry_after_ms: 600_000 }
      const { deliver, seqs } = yield* serversOf([
        ({ seq }) => seq === 2 ? rejection(seq, "OVERLOADED", patience) : "serve",
        ({ seq }) => seq === 4 ? rejection(seq, "LEDGER_UNAVAILABLE", patience) : "serve",
        serve
      ], { windowChunks: 1 })
      yield* deliver(fileOf(sales(3, 95)))
      assert.deepStrictEqual(seqs(), [[1, 2], [2, 3, 4], [4, 5, 6, 7, 8, 9, 10]])
    }).pipe(Effect.scoped))

  it.live("comes back to the first after the last", () =>
    Effect.gen(function*() {
      let cuts = 0
      const { all, deliver } = yield* serversOf([() => cuts++ < 2 ? "cut" : "serve", cut, cut])
      yield* deliver(fileOf(sales(3, 10)))
      assert.deepStrictEqual(all.map(({ connections }) => connections), [3, 2, 2])
    }).pipe(Effect.scoped))

  it.live("gives up when none helps, and says how each of them failed", () =>
    Effect.gen(function*() {
      const nowhere = { host: "127.0.0.1", port: yield* Effect.promise(freePort) }
      const { addresses: [cutting] } = yield* serversOf([cut])
      const { client } = yield* trial
      const servers = [nowhere, cutting] as const
      const { deliver, winners } = yield* client({ servers, consults: servers, giveUpAfterMs: 100 })
      const pattern = new RegExp(
        `^${formatAddress(nowhere)} \\(ECONNREFUSED\\), ${
          formatAddress(cutting)
        } \\(ECONNRESET\\): no progress for `
      )
      assert.match((yield* Effect.flip(deliver(fileOf([])))).message, pattern)
      assert.match((yield* Effect.flip(winners)).message, pattern)
    }).pipe(Effect.scoped))

  it.live("ends when one says that trying again can't help, and logs which", () =>
    Effect.gen(function*() {
      const unknown = { type_message: 6, payload: null, code: "UNKNOWN_AGENCY", message: "" }
      const { addresses, deliver, log, winners } = yield* serversOf([cut, () => unknown])
      const [, second] = addresses.map(formatAddress)
      for (const work of [Effect.asVoid(deliver(fileOf([]))), Effect.asVoid(winners)]) {
        assert.match((yield* Effect.flip(work)).message, /UNKNOWN_AGENCY/)
        assert.match(
          log().at(-1) ?? "",
          new RegExp(`ERROR +action: refused .* error: UNKNOWN_AGENCY \\| central: ${second}$`)
        )
      }
    }).pipe(Effect.scoped))

  it.live("asks one of them until the draw is held, and the next if that one is gone", () =>
    Effect.gen(function*() {
      let questions = 0
      const { all, winners } = yield* serversOf([() => ++questions > 3 ? "cut" : "serve", serve])
      const [first, second] = all
      if (second !== undefined) second.winners = ["30904465"]
      assert.deepStrictEqual(yield* winners, ["30904465"])
      assert.deepStrictEqual([first?.connections, second?.connections], [4, 1])
    }).pipe(Effect.scoped))

  it.live.prop(
    "has every bet stored once and in order, wherever it is cut off or put off",
    {
      faults: Schema.Array(
        Schema.Literals(["cut", "swallow", "serve", "serve", "LEDGER_UNAVAILABLE", "OVERLOADED"])
      ).check(Schema.isMaxLength(30)),
      count: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 120 }))
    },
    ({ count, faults }) =>
      Effect.gen(function*() {
        let next = 0
        const script: Script = (message) => {
          const fault = faults[next++] ?? "serve"
          if (fault === "cut" || fault === "serve") return fault
          if (message.seq === undefined) return "serve"
          return fault === "swallow" ? fault : rejection(message.seq, fault, { retry_after_ms: 1 })
        }
        const { all, deliver } = yield* serversOf([script, script, script])
        const bets = sales(3, count)
        assert.strictEqual(yield* deliver(fileOf(bets)), count)
        const last = all.find(({ finished }) => finished)
        assert.deepStrictEqual(last?.bets, bets)
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 40 } }
  )
})
