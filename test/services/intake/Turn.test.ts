import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { InvariantBroken } from "../../../src/domain/Invariant.ts"
import { RootKeeper } from "../../../src/services/base/Keeper.ts"
import { LogWriter } from "../../../src/services/base/OperatorLog.ts"
import { runTurn, type Step, type Turn } from "../../../src/services/intake/Turn.ts"
import { openSession } from "../../support/Sessions.ts"

const open = () => {
  const { send, session } = openSession(1)
  const turn = send("first")
  assert.isDefined(turn)
  return { send, session, turn }
}

const watched = () => {
  let log = ""
  const keeper = new RootKeeper(
    new LogWriter({ level: "INFO", format: "text", flushMs: 0 }, (text) => (log += text)),
    () => assert.fail("the server is not to be ended")
  )
  return { keeper, log: () => log }
}

const run = (turn: Turn, step: Step | Error, keeper = watched().keeper) =>
  runTurn(keeper, turn, () => {
    if (step instanceof Error) throw step
    return step
  }, undefined)

describe("a turn", () => {
  it("that is done ends at once: the frame's memory is given up, and the next frame gets its turn", () => {
    const { send, turn } = open()
    assert.isUndefined(send("second"))
    assert.isUndefined(run(turn, "done"))
    assert.isTrue(turn.over)
    assert.strictEqual(turn.frame.length, 0)
    assert.isDefined(send("third"))
  })

  it.effect("that has to wait ends with the result of its effect", () =>
    Effect.gen(function*() {
      const { turn } = open()
      const rest = run(turn, Effect.succeed("done"))
      assert.isFalse(turn.over)
      assert.isDefined(rest)
      yield* rest
      assert.isTrue(turn.over)
    }))

  it("that is handed on isn't ended", () => {
    const { turn } = open()
    run(turn, "later")
    assert.isFalse(turn.over)
  })

  it("ends once", () => {
    const { turn } = open()
    run(turn, "done")
    assert.throws(() => turn.end(), InvariantBroken)
  })

  it("that is muted leaves the connection open, and discards what comes", () => {
    const { send, session, turn } = open()
    run(turn, "muted")
    assert.isUndefined(send("second"))
    assert.isFalse(session.connection.closing)
  })

  it("that a defect breaks off ends, with its connection", () => {
    const { session, turn } = open()
    const { keeper, log } = watched()
    run(turn, new Error("planted by the test"), keeper)
    assert.isTrue(turn.over)
    assert.isTrue(session.connection.closing)
    assert.match(log(), /root: turn .*planted by the test/)
  })

  it.effect("that a defect breaks off while it waits ends, with its connection", () =>
    Effect.gen(function*() {
      const { session, turn } = open()
      yield* run(turn, Effect.die("planted by the test")) ?? Effect.void
      assert.isTrue(turn.over)
      assert.isTrue(session.connection.closing)
    }))

  it("that is replaced is over, and its replacement has its frame", () => {
    const { turn } = open()
    turn.begin()
    const again = turn.again({ _tag: "Resume", agency: 3 })
    assert.isTrue(turn.over)
    assert.strictEqual(new TextDecoder().decode(again.frame), "first")
  })
})
