import { assert, describe, it } from "@effect/vitest"
import { AgencyId } from "../../../src/domain/Agency.ts"
import { Epoch } from "../../../src/domain/Claim.ts"
import { InvariantBroken } from "../../../src/domain/Invariant.ts"
import { nothingStored } from "../../../src/domain/Standing.ts"
import { Desk } from "../../../src/services/intake/Desk.ts"
import type { Turn } from "../../../src/services/intake/Turn.ts"
import { openSession } from "../../support/Sessions.ts"

const resume = { _tag: "Resume", agency: 3 } as const

/** A session with its first frame in hand. */
const open = (arrival: number) => {
  const { send, session } = openSession(arrival)
  const turn = send()
  assert.isDefined(turn)
  return { session, turn, connection: session.connection }
}

const make = () => {
  const desk = new Desk(AgencyId.make(3))
  return {
    desk,
    enter: ({ turn }: { readonly turn: Turn }) => {
      turn.begin()
      return desk.enter(turn, resume)
    },
    /** The turn that waited comes again. */
    enterAgain: (turn: Turn | undefined) => {
      assert.isDefined(turn)
      return desk.enter(turn, resume)
    }
  }
}

describe("Desk", () => {
  it("hears a newer connection only after the older one's chunk is settled", () => {
    const { desk, enter, enterAgain } = make()
    const [older, newer] = [open(1), open(2)]
    assert.strictEqual(enter(older), "heard")
    assert.strictEqual(enter(newer), "waits")
    assert.isFalse(older.connection.closing)
    const turn = desk.leave()
    assert.strictEqual(turn?.session, newer.session)
    assert.deepStrictEqual(turn?.parsed, resume)
    assert.strictEqual(enterAgain(turn), "heard")
    assert.isTrue(older.connection.closing)
  })

  it("drops the one that waited when a still newer one comes", () => {
    const { desk, enter } = make()
    const [first, second, third] = [open(1), open(2), open(3)]
    enter(first)
    enter(second)
    assert.strictEqual(enter(third), "waits")
    assert.isTrue(second.connection.closing)
    assert.strictEqual(desk.leave()?.session, third.session)
  })

  it("doesn't let one whose turn waited take over from a newer one", () => {
    const { desk, enter, enterAgain } = make()
    const [first, second, third] = [open(1), open(2), open(3)]
    enter(first)
    enter(second)
    const putOff = desk.leave()
    assert.strictEqual(enter(third), "heard")
    assert.strictEqual(enterAgain(putOff), "superseded")
    assert.isTrue(second.connection.closing)
    assert.isFalse(third.connection.closing)
    assert.isUndefined(desk.leave())
  })

  it("takes the frame that was whole first for the older one, whichever is parsed first", () => {
    const { desk, enter } = make()
    const [older, newer] = [open(1), open(2)]
    assert.strictEqual(enter(newer), "heard")
    desk.leave()
    assert.strictEqual(enter(older), "superseded")
    assert.isTrue(older.connection.closing)
    assert.isFalse(newer.connection.closing)
  })

  it("doesn't hear an older connection when the newer one is gone: it was told what is stored", () => {
    const { desk, enter } = make()
    const [older, newer] = [open(1), open(2)]
    enter(newer)
    desk.leave()
    desk.forget(newer.session)
    assert.strictEqual(enter(older), "superseded")
    assert.isTrue(older.connection.closing)
  })

  it("closes the newer connection for a still newer one, also when the older one is gone meanwhile", () => {
    const { desk, enter } = make()
    const [first, second, third] = [open(1), open(2), open(3)]
    enter(first)
    desk.leave()
    enter(second)
    desk.leave()
    desk.forget(first.session)
    assert.strictEqual(enter(third), "heard")
    assert.isTrue(second.connection.closing)
  })

  it("is to be claimed anew for each session, and when its claim is no longer good", () => {
    const { desk, enter } = make()
    const claim = (epoch: number) => ({ ...nothingStored, epoch: Epoch.make(epoch) })
    const [first, second] = [open(1), open(2)]
    enter(first)
    assert.isUndefined(desk.epoch)
    assert.isTrue(desk.take(claim(7)))
    assert.strictEqual(desk.epoch, 7)
    desk.leave()
    enter(second)
    assert.isUndefined(desk.epoch)
    desk.take(claim(8))
    desk.dropClaim("in_doubt")
    assert.isUndefined(desk.epoch)
    assert.isTrue(second.connection.closing)
  })

  it("makes way for another server's claim, but not before the message in hand is finished", () => {
    const { desk, enter } = make()
    const first = open(1)
    enter(first)
    desk.take({ ...nothingStored, epoch: Epoch.make(7) })
    desk.claimedElsewhere(Epoch.make(8))
    assert.isFalse(first.connection.closing)
    desk.leave()
    desk.claimedElsewhere(Epoch.make(7))
    assert.isFalse(first.connection.closing)
    desk.claimedElsewhere(Epoch.make(8))
    assert.isTrue(first.connection.closing)
    assert.isUndefined(desk.epoch)
  })

  it("takes no claim that tells of less than was stored here", () => {
    const { desk, enter } = make()
    enter(open(1))
    desk.take({ seq: 2, bets: 20, finished: false, epoch: Epoch.make(7) })
    desk.settle({ seq: 3, bets: 5, last: true })
    assert.deepStrictEqual(desk.standing, { seq: 3, bets: 25, finished: true })
    for (const less of [{ seq: 2 }, { bets: 24 }, { finished: false }]) {
      const claim = { ...desk.standing, epoch: Epoch.make(8), ...less }
      assert.isFalse(desk.take(claim))
    }
    assert.strictEqual(desk.epoch, 7)
    assert.isTrue(desk.take({ ...desk.standing, epoch: Epoch.make(9) }))
  })

  it("is left once", () => {
    const { desk, enter } = make()
    enter(open(1))
    desk.leave()
    assert.throws(() => desk.leave(), InvariantBroken)
  })
})
