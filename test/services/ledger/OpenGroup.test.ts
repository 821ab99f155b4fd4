/** The open group against a plain list: what is taken, in which order, within which bounds, and when it is due. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { AgencyId } from "../../../src/domain/Agency.ts"
import { Epoch } from "../../../src/domain/Claim.ts"
import type { Group, PendingChunk } from "../../../src/services/ledger/ChunksInHand.ts"
import { OpenGroup } from "../../../src/services/ledger/OpenGroup.ts"

const bounds = { groupChunksMax: 4, groupBytesMax: 100, gatherMs: 5 }

const pendingOf = (seq: number, bytes: number): PendingChunk => ({
  chunk: {
    agency: AgencyId.make(seq),
    seq,
    last: false,
    bets: 1,
    epoch: Epoch.make(1),
    total: seq,
    numbers: new Uint8Array(2),
    body: new Uint8Array(bytes)
  },
  onStored: () => undefined,
  onFailed: () => "stay",
  onLost: () => {}
})

const numbered = (group: Group) => group.map(({ chunk }) => chunk.seq)
const bytesOf = (group: Group) => group.reduce((bytes, { chunk }) => bytes + chunk.body.length, 0)

const between = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** A group that is stored, or fails and leaves those of its chunks that have true at their index. */
const Take = Schema.Struct({ staying: Schema.Array(Schema.Boolean) })
/** The bytes of chunks that are decided on one after another. */
const Push = Schema.Struct({ bytes: Schema.Array(between(0, 130)) })

describe("the open group", () => {
  it.prop(
    "gives every chunk in order, whatever fails in between, in groups as large as the bounds allow",
    { steps: Schema.Array(Schema.Union([Push, Take])) },
    ({ steps }) => {
      const open = new OpenGroup(bounds)
      let decided = 0
      const waiting: Array<PendingChunk> = []
      for (const step of steps) {
        if ("bytes" in step) {
          const pushed = step.bytes.map((bytes) => pendingOf(++decided, bytes))
          for (const pending of pushed) open.push(pending)
          waiting.push(...pushed)
        } else {
          const group = open.take()
          assert.deepStrictEqual(numbered(group), numbered(waiting.splice(0, group.length)))
          assert.isAtMost(group.length, bounds.groupChunksMax)
          if (group.length > 1) assert.isAtMost(bytesOf(group), bounds.groupBytesMax)
          const next = waiting.slice(0, 1)
          const full = group.length === bounds.groupChunksMax
            || (group.length > 0 && bytesOf([...group, ...next]) > bounds.groupBytesMax)
          assert.isTrue(full || waiting.length === 0, "one more would have fitted")

          const staying = group.filter((_, index) => step.staying[index] === true)
          open.putBack(staying)
          waiting.unshift(...staying)
        }
        assert.strictEqual(open.isEmpty, waiting.length === 0)
      }
    },
    { arbitrary: { runs: 500 } }
  )

  it("takes a chunk that is larger than a group may be, alone", () => {
    const open = new OpenGroup(bounds)
    for (const [index, bytes] of [60, 101, 0, 100].entries()) open.push(pendingOf(index + 1, bytes))
    assert.deepStrictEqual(numbered(open.take()), [1])
    assert.deepStrictEqual(numbered(open.take()), [2])
    assert.deepStrictEqual(numbered(open.take()), [3, 4])
    assert.deepStrictEqual(numbered(open.take()), [])
  })

  it.prop(
    "is due when it holds as many chunks as frames are being parsed, or may not wait, and never when it is empty",
    { chunks: between(0, 10), frames: between(0, 10), parsed: between(0, 10) },
    ({ chunks, frames, parsed }) => {
      const left = Math.max(frames - parsed, 0)
      const open = new OpenGroup(bounds)
      const hasty = new OpenGroup({ ...bounds, gatherMs: 0 })
      for (const group of [open, hasty]) {
        group.expectFrames(frames)
        for (let index = 0; index < chunks; index++) group.push(pendingOf(index + 1, 10))
        for (let index = left; index < frames; index++) group.frameParsed()
      }
      assert.strictEqual(open.isDue, chunks > 0 && chunks >= left)
      assert.strictEqual(hasty.isDue, chunks > 0)
    }
  )

  it("has no more frames parsed than were expected", () => {
    const open = new OpenGroup(bounds)
    open.expectFrames(1)
    open.frameParsed()
    assert.throws(() => open.frameParsed(), /no more frames are parsed than were expected/)
  })
})
