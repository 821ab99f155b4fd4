import { assert, describe, it } from "@effect/vitest"
import { AgencyId } from "../../../src/domain/Agency.ts"
import { nothingStored } from "../../../src/domain/Intake.ts"
import { Connection, type Transport } from "../../../src/services/intake/Connection.ts"
import { DeadlineQueue } from "../../../src/services/intake/DeadlineQueue.ts"
import { Desk } from "../../../src/services/intake/Desk.ts"
import { FrameBudget } from "../../../src/services/intake/FrameBudget.ts"
import { strictKeeper } from "../../support/Kept.ts"

const transport: Transport = {
  address: "127.0.0.1",
  port: 50000,
  unsent: 0,
  write: () => {},
  pause: () => {},
  resume: () => {},
  whenSent: () => {},
  finish: () => {},
  destroy: () => {}
}

/** A connection whose first frame was whole as the given one among all. */
const open = (claim: number): Connection => {
  const connection = new Connection({
    door: "bets",
    frameBytesMax: 100,
    budget: new FrameBudget(100),
    frameDeadlines: new DeadlineQueue(),
    answerDeadlines: new DeadlineQueue(),
    lingerDeadlines: new DeadlineQueue(),
    roomDeadlines: new DeadlineQueue(),
    keeper: strictKeeper,
    roomWaitMs: 700,
    onTurn: () => {},
    onRefused: () => {},
    onClosed: () => {}
  }, transport)
  connection.claim = claim
  return connection
}

const make = (): Desk => new Desk(AgencyId.make(3), nothingStored)

describe("Desk", () => {
  it("hears a newer connection only after the older one's chunk is settled", () => {
    const desk = make()
    const [older, newer] = [open(1), open(2)]
    assert.strictEqual(desk.enter(older), "heard")
    assert.strictEqual(desk.enter(newer), "waiting")
    assert.isFalse(older.closing)
    assert.strictEqual(desk.leave(), newer)
    assert.strictEqual(desk.enter(newer), "heard")
    assert.isTrue(older.closing)
  })

  it("drops the one that waited when a still newer one comes", () => {
    const desk = make()
    const [first, second, third] = [open(1), open(2), open(3)]
    desk.enter(first)
    desk.enter(second)
    assert.strictEqual(desk.enter(third), "waiting")
    assert.isTrue(second.closing)
    assert.strictEqual(desk.leave(), third)
  })

  it("doesn't let one whose turn was put off take over from a newer one", () => {
    const desk = make()
    const [first, second, third] = [open(1), open(2), open(3)]
    desk.enter(first)
    desk.enter(second)
    desk.leave()
    assert.strictEqual(desk.enter(third), "heard")
    assert.strictEqual(desk.enter(second), "dropped")
    assert.isTrue(second.closing)
    assert.isFalse(third.closing)
    assert.isUndefined(desk.leave())
  })

  it("takes the frame that was whole first for the older one, whichever is parsed first", () => {
    const desk = make()
    const [older, newer] = [open(1), open(2)]
    assert.strictEqual(desk.enter(newer), "heard")
    desk.leave()
    assert.strictEqual(desk.enter(older), "dropped")
    assert.isTrue(older.closing)
    assert.isFalse(newer.closing)
  })

  it("doesn't hear an older connection when the newer one is gone: it was told what is stored", () => {
    const desk = make()
    const [older, newer] = [open(1), open(2)]
    desk.enter(newer)
    desk.leave()
    desk.forget(newer)
    assert.strictEqual(desk.enter(older), "dropped")
    assert.isTrue(older.closing)
  })

  it("closes the newer connection for a still newer one, also when the older one is gone meanwhile", () => {
    const desk = make()
    const [first, second, third] = [open(1), open(2), open(3)]
    desk.enter(first)
    desk.leave()
    desk.enter(second)
    desk.leave()
    desk.forget(first)
    assert.strictEqual(desk.enter(third), "heard")
    assert.isTrue(second.closing)
  })
})
