/**
 * The central as one scoped graph. Resources are released in the reverse of the order in which they are built, and
 * shutdown relies on it: doors → connections and workers → consults, draw and groups → parser children → ledger →
 * operations port → log.
 */
import { Context, Effect, Layer } from "effect"
import { watchDescriptors } from "./base/Descriptors.ts"
import { Keeper } from "./base/Keeper.ts"
import { Lifetime } from "./base/Lifetime.ts"
import { OperatorLog } from "./base/OperatorLog.ts"
import { Settings } from "./base/Settings.ts"
import { Lottery } from "./draw/Lottery.ts"
import { Told } from "./draw/Told.ts"
import { BetAcceptor } from "./intake/BetAcceptor.ts"
import { BetsDesk } from "./intake/BetsDesk.ts"
import { ChunkParser } from "./intake/ChunkParser.ts"
import { Connections } from "./intake/Connections.ts"
import { ConsultAcceptor } from "./intake/ConsultAcceptor.ts"
import { ConsultDesk } from "./intake/ConsultDesk.ts"
import { Refusals } from "./intake/Refusals.ts"
import { Workers } from "./intake/Workers.ts"
import { BetLedger } from "./ledger/BetLedger.ts"
import { GroupCommit } from "./ledger/GroupCommit.ts"
import { operationsLayer } from "./operations/Operations.ts"

const ledgerLayer = Layer.effect(
  BetLedger,
  Effect.gen(function*() {
    const { ledger: { path, snapshotChunks }, lottery: { agencies: roster, draw, winningNumber } } =
      yield* Settings
    const log = yield* OperatorLog
    const lifetime = yield* Lifetime
    let opened = false
    // Finalizers run in reverse: one that is added before the ledger is opened runs after it is closed.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        if (opened) log.write("INFO", "close_resource", "success", { resource: "ledger" })
      })
    )
    const context = yield* Layer.build(BetLedger.layer({
      path,
      roster,
      winningNumber,
      draw,
      snapshotChunks,
      onDisplaced: (problem) => {
        lifetime.setTrouble("the ledger's file", problem)
        if (problem !== undefined) return log.write("CRITICAL", "ledger_place", "fail", { problem })
        const detail = "the ledger is in its place again, and bets are stored"
        log.write("WARNING", "ledger_place", "success", { detail })
      }
    }))
    opened = true
    const ledger = Context.get(context, BetLedger)
    const records = [...ledger.opened.agencies.values()]
    log.write("INFO", "ledger", "success", {
      path,
      draw: ledger.opened.drawName,
      new: ledger.opened.isNew,
      bets: records.reduce((bets, record) => bets + record.bets, 0),
      finished: `${records.filter(({ finished }) => finished).length} of ${roster.length}`
    })
    return ledger
  })
)

/** Everything between a whole frame and its answer, over any ledger, parser and connections. */
export const intakeLayer = Workers.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(BetsDesk.layer, ConsultDesk.layer)),
  Layer.provideMerge(Layer.mergeAll(Lottery.layer, Told.layer)),
  Layer.provideMerge(GroupCommit.layer),
  Layer.provideMerge(Connections.layer),
  Layer.provideMerge(Refusals.layer),
  Layer.provideMerge(Keeper.layer)
)

/** The ledger and the parsers start side by side, but the parsers end before the ledger is closed. */
const parsersEndFirst = Layer.effectDiscard(Effect.gen(function*() {
  const { close } = yield* ChunkParser
  yield* Effect.addFinalizer(() => close)
}))

/** Settings, Lifetime and OperatorLog are given from outside. */
export const serverLayer = Layer.mergeAll(BetAcceptor.layer, ConsultAcceptor.layer).pipe(
  Layer.provideMerge(intakeLayer),
  Layer.provideMerge(parsersEndFirst),
  Layer.provideMerge(Layer.mergeAll(ledgerLayer, ChunkParser.layer)),
  Layer.provideMerge(Layer.effectDiscard(watchDescriptors)),
  Layer.provideMerge(Keeper.layer),
  Layer.provideMerge(operationsLayer)
)
