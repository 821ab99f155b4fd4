/**
 * The decision against a simple model: an agency's store is a list of chunks, a history is a list of messages that come
 * over connections which break, groups that fail, and restarts. The model knows nothing of cursors, questions or bytes.
 */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { Chunk } from "../../src/domain/Chunk.ts"
import {
  decide,
  type Decision,
  type Evidence,
  question,
  type Replay,
  replayOver,
  replayUnknown
} from "../../src/domain/ReplayRule.ts"
import { nothingStored, type Standing, standingAfter } from "../../src/domain/Standing.ts"

const utf8 = new TextEncoder()

/** Bets are single letters here: few distinct ones make repetitions and coincidences likely. */
const chunkOf = (bets: string, last: boolean, seq?: number): Chunk => ({
  agency: 3,
  seq,
  last,
  bets: bets.length,
  numbers: utf8.encode([...bets].map((bet) => `0${bet}`).join("")),
  body: utf8.encode([...bets].map((bet) => `${bet}\n`).join(""))
})

interface StoredChunk {
  readonly last: boolean
  readonly body: Uint8Array
  readonly numbers: Uint8Array
}

const bytesOf = (stored: ReadonlyArray<StoredChunk>): Uint8Array =>
  Uint8Array.from(stored.flatMap(({ body }) => [...body]))

const lettersOf = (stored: ReadonlyArray<StoredChunk>): string =>
  new TextDecoder().decode(bytesOf(stored)).replaceAll("\n", "")

/** A cursor is { seq, offset }; here everything is one stream, so the seq only has to be carried. */
const fetchEvidence = (
  stored: ReadonlyArray<StoredChunk>,
  standing: Standing,
  replay: Replay,
  chunk: Chunk
): Evidence => {
  const asked = question(standing, replay, chunk)
  switch (asked._tag) {
    case "Nothing":
      return { _tag: "Nothing" }
    case "ChunkAt": {
      const found = stored[asked.seq - 1]
      return found === undefined
        ? { _tag: "Nothing" }
        : { _tag: "ChunkAt", last: found.last, body: found.body }
    }
    case "BetsFrom": {
      const before = bytesOf(stored.slice(0, asked.from.seq - 1)).length + asked.from.offset
      const bytes = bytesOf(stored).subarray(before, before + asked.bytes)
      let seq = 1
      let offset = before + bytes.length
      while (seq <= stored.length && offset >= (stored[seq - 1]?.body.length ?? 0)) {
        offset -= stored[seq - 1]?.body.length ?? 0
        seq++
      }
      return { _tag: "BetsFrom", bytes, next: { seq, offset } }
    }
  }
}

/** A ledger of one agency with a connection to it. */
class Subject {
  stored: Array<StoredChunk> = []
  standing: Standing = nothingStored
  replay: Replay = replayUnknown

  send(chunk: Chunk, groupFails = false): Decision {
    const evidence = fetchEvidence(this.stored, this.standing, this.replay, chunk)
    const decision = decide(this.standing, this.replay, chunk, evidence)
    if (decision._tag === "Stored") this.replay = decision.replay
    if (decision._tag === "Store" && !groupFails) {
      this.stored.push(decision)
      this.standing = standingAfter(this.standing, decision)
      this.replay = decision.replay
    }
    return decision
  }

  reconnect(): void {
    this.replay = replayUnknown
  }

  /** What a restarted server reads back. */
  restart(): void {
    this.reconnect()
    this.standing = this.stored.reduce<Standing>(
      (standing, { body, last }, index) =>
        standingAfter(standing, { seq: index + 1, bets: body.length / 2, last }),
      nothingStored
    )
  }
}

const Letters = Schema.Array(Schema.Literals(["a", "b", "c"])).check(Schema.isMaxLength(5))
const Event = Schema.Union([
  Schema.Struct({
    _tag: Schema.Literal("Counted"),
    letters: Letters,
    last: Schema.Literals([true, false, false, false]),
    seqFromNext: Schema.Literals([-2, -1, 0, 0, 0, 0, 1, 2]),
    groupFails: Schema.Boolean
  }),
  Schema.Struct({
    _tag: Schema.Literal("Uncounted"),
    letters: Letters,
    last: Schema.Literals([true, false, false]),
    groupFails: Schema.Boolean
  }),
  Schema.Struct({ _tag: Schema.Literal("Reconnect") }),
  Schema.Struct({ _tag: Schema.Literal("Restart") })
])

const codeOf = (decision: Decision): string =>
  decision._tag === "Reject" ? decision.rejection.code : decision._tag

describe("the replay rule", () => {
  it.prop(
    "decides a random history of counted chunks as the model does",
    [Schema.Array(Event)],
    ([events]) => {
      const subject = new Subject()
      const model: Array<{ letters: string; last: boolean }> = []
      for (const event of events) {
        if (event._tag === "Reconnect") subject.reconnect()
        if (event._tag === "Restart") subject.restart()
        if (event._tag !== "Counted") continue
        const letters = event.letters.join("")
        const seq = Math.max(1, model.length + 1 + event.seqFromNext)
        const decision = subject.send(chunkOf(letters, event.last, seq), event.groupFails)
        const finished = model.some(({ last }) => last)
        const known = model[seq - 1]
        const expected = known !== undefined
          ? known.letters === letters && known.last === event.last ? "Stored" : "SEQUENCE_CONFLICT"
          : finished
          ? "AGENCY_FINISHED"
          : seq > model.length + 1
          ? "SEQUENCE_GAP"
          : "Store"
        assert.strictEqual(codeOf(decision), expected)
        if (decision._tag === "Reject" && expected === "SEQUENCE_GAP") {
          assert.strictEqual(decision.rejection.expectedSeq, model.length + 1)
        }
        if (expected === "Store" && !event.groupFails) model.push({ letters, last: event.last })
      }
      assert.strictEqual(lettersOf(subject.stored), model.map(({ letters }) => letters).join(""))
    }
  )

  it.prop("keeps numbers and bets together and counts without gaps, whatever comes", [
    Schema.Array(Event)
  ], ([events]) => {
    const subject = new Subject()
    for (const event of events) {
      if (event._tag === "Reconnect") subject.reconnect()
      else if (event._tag === "Restart") subject.restart()
      else {
        const before = subject.standing
        const seq = event._tag === "Counted"
          ? Math.max(1, before.seq + 1 + event.seqFromNext)
          : undefined
        const decision = subject.send(
          chunkOf(event.letters.join(""), event.last, seq),
          event.groupFails
        )
        if (decision._tag === "Store") {
          assert.strictEqual(decision.seq, before.seq + 1)
          assert.isFalse(before.finished)
          assert.strictEqual(decision.body.length, 2 * decision.bets)
          assert.strictEqual(decision.numbers.length, 2 * decision.bets)
          assert.deepEqual(
            decision.numbers.filter((_, index) => index % 2 === 1),
            decision.body.filter((_, index) => index % 2 === 0)
          )
        }
      }
    }
    assert.strictEqual(subject.standing.bets, lettersOf(subject.stored).length)
  })

  it.prop(
    "an agency that starts again from the top, with any chunk sizes, is stored once",
    [
      Schema.Array(Schema.Literals(["a", "b", "c"])),
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 })),
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 })),
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 }))
    ],
    ([bets, firstSize, secondSize, stopAfter]) => {
      const file = bets.join("")
      const subject = new Subject()
      for (let at = 0; at < Math.min(stopAfter, file.length); at += firstSize) {
        subject.send(chunkOf(file.slice(at, at + firstSize), at + firstSize >= file.length))
      }
      subject.restart()
      // Twice: the second time everything is stored, and everything is answered all the same.
      for (let round = 0; round < 2; round++) {
        subject.reconnect()
        for (let at = 0; at < file.length || at === 0; at += secondSize) {
          const last = at + secondSize >= file.length
          const decision = subject.send(chunkOf(file.slice(at, at + secondSize), last))
          assert.notStrictEqual(decision._tag, "Reject")
        }
        assert.strictEqual(lettersOf(subject.stored), file)
        assert.isTrue(subject.standing.finished)
      }
    }
  )

  const started = (letters: string, finished: boolean): Subject => {
    const subject = new Subject()
    subject.send(chunkOf(letters.slice(0, 2), false))
    subject.send(chunkOf(letters.slice(2), finished))
    subject.reconnect()
    return subject
  }

  it("takes a first bet that differs for new sales", () => {
    const subject = started("abc", false)
    assert.strictEqual(codeOf(subject.send(chunkOf("bcx", false))), "Store")
    assert.strictEqual(lettersOf(subject.stored), "abcbcx")
  })

  it("refuses new sales of a finished agency", () => {
    assert.strictEqual(codeOf(started("abc", true).send(chunkOf("x", false))), "AGENCY_FINISHED")
  })

  it("refuses a repetition that parts ways after a match", () => {
    assert.strictEqual(codeOf(started("abc", false).send(chunkOf("ax", false))), "REPLAY_MISMATCH")
  })

  it("refuses a last chunk that ends a begun repetition too early, also an empty one", () => {
    assert.strictEqual(codeOf(started("abc", false).send(chunkOf("ab", true))), "REPLAY_MISMATCH")
    const subject = started("abc", false)
    subject.send(chunkOf("ab", false))
    assert.strictEqual(codeOf(subject.send(chunkOf("", true))), "REPLAY_MISMATCH")
  })

  it("stores only what goes beyond the stored bets", () => {
    const subject = started("abc", false)
    const decision = subject.send(chunkOf("abcde", true))
    assert.strictEqual(codeOf(decision), "Store")
    assert.strictEqual(lettersOf(subject.stored), "abcde")
    assert.isTrue(subject.standing.finished)
  })

  it("lets a finished agency repeat everything and no more", () => {
    const subject = started("abc", true)
    assert.strictEqual(codeOf(subject.send(chunkOf("abc", false))), "Stored")
    assert.strictEqual(codeOf(subject.send(chunkOf("d", false))), "AGENCY_FINISHED")
    subject.reconnect()
    assert.strictEqual(codeOf(subject.send(chunkOf("abc", true))), "Stored")
  })

  it("finishes an agency with an empty last chunk on a connection of its own", () => {
    const subject = started("abc", false)
    assert.strictEqual(codeOf(subject.send(chunkOf("", true))), "Store")
    assert.isTrue(subject.standing.finished)
  })

  it("doesn't take a client that counts or resumed for one that starts again", () => {
    const subject = started("abc", false)
    subject.replay = replayOver
    assert.strictEqual(codeOf(subject.send(chunkOf("a", false))), "Store")
    assert.strictEqual(lettersOf(subject.stored), "abca")
  })
})
