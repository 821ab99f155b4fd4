import { assert, describe, it } from "@effect/vitest"
import { setImmediate } from "node:timers/promises"
import { simulate } from "./Simulation.ts"

const seeds = 200
const seedsATest = 50

/** Events that must occur in some seed: a fault that never happens proves nothing. */
const rarities = [
  "a FIN ignored",
  "a server didn't start",
  "a server was stopped",
  "agency changed its client",
  "agency lost patience",
  "answer after a newer claim",
  "answer lost: claim, arrives late",
  "answer lost: commit, never arrives",
  "answer AGENCY_MISMATCH",
  "answer FRAME_EMPTY",
  "answer FRAME_TOO_LARGE",
  "answer INVALID_BET",
  "answer INVALID_MESSAGE",
  "answer LEDGER_UNAVAILABLE",
  "answer OVERLOADED",
  "answer PARSER_FAILED",
  "answer SEQUENCE_GAP",
  "answer TIMEOUT",
  "answer TOO_MANY_CONNECTIONS",
  "answer UNKNOWN_AGENCY",
  "answer WRONG_PORT",
  "answer WinnersNotReady",
  "answers swallowed by a reset",
  "blow upon: commit",
  "blow upon: draw",
  "blow upon: news",
  "closed: answers_unread",
  "closed: connection_lost",
  "closed: in_doubt",
  "closed: peer_left",
  "closed: shutdown",
  "closed: superseded",
  "closed: unavailable",
  "connection replaced while alive",
  "crash",
  "cut",
  "duplicate",
  "fenced",
  "field agency starts from the top again",
  "half-open connection",
  "in doubt: fenced",
  "in doubt: stored",
  "in doubt: stored later",
  "ledger failed: claim",
  "ledger failed: commit",
  "ledger failed: draw",
  "ledger failed: read",
  "ledger slow",
  "moved to another server: bets",
  "moved to another server: consult",
  "news late",
  "news lost",
  "parser failed",
  "parser slow",
  "seed: 1 servers",
  "seed: 2 servers",
  "seed: 3 servers",
  "seed: a ledger of its own",
  "shutdown",
  "takeover by a stranger",
  "the server was done",
  "waits for rows: claim",
  "waits for rows: commit"
]

describe("the central, simulated,", () => {
  const counts = new Map<string, number>()
  const blocks = Array.from({ length: seeds / seedsATest }, (_, index) => 1 + index * seedsATest)

  it.each(blocks)("keeps its promises with 50 seeds from %i on", async (first) => {
    for (let seed = first; seed < first + seedsATest; seed++) {
      const result = simulate(seed)
      const again = `again: npm run simulate -- --seed ${seed} --trace`
      assert.deepStrictEqual(result.failures, [], `${again}\n${result.tail.join("\n")}\n${again}\n`)
      for (const [what, times] of result.counts) counts.set(what, (counts.get(what) ?? 0) + times)
      await setImmediate()
    }
  })

  it("has met every kind of fault by then", () => {
    assert.deepStrictEqual(rarities.filter((what) => !counts.has(what)), [])
  })

  it("does the same again with the same seed, and other things with another", () => {
    const hashes = [1, 2, 3, 4, 5].map((seed) => simulate(seed).hash)
    assert.deepStrictEqual([1, 2, 3, 4, 5].map((seed) => simulate(seed).hash), hashes)
    assert.strictEqual(new Set(hashes).size, hashes.length)
  })
})
