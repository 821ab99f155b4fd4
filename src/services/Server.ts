/**
 * The central as one scoped graph. Resources are released in the reverse of the order in which they are built, and
 * shutdown relies on it: doors → connections and workers → consults, draw and groups → parser children → ledger →
 * operations port → log.
 */
import { Effect, Layer } from "effect"
import { watchDescriptors } from "./base/Descriptors.ts"
import { Keeper } from "./base/Keeper.ts"
import { Lottery } from "./draw/Lottery.ts"
import { Told } from "./draw/Told.ts"
import { BetAcceptor } from "./intake/BetAcceptor.ts"
import { BetTurns } from "./intake/BetTurns.ts"
import { ChunkParser } from "./intake/ChunkParser.ts"
import { Connections } from "./intake/Connections.ts"
import { ConsultAcceptor } from "./intake/ConsultAcceptor.ts"
import { ConsultTurns } from "./intake/ConsultTurns.ts"
import { Refusals } from "./intake/Refusals.ts"
import { Workers } from "./intake/Workers.ts"
import { configuredLedgerLayer } from "./ledger/embedded/ConfiguredLedger.ts"
import { GroupCommit } from "./ledger/GroupCommit.ts"
import { operationsLayer } from "./operations/Operations.ts"

/** Everything between a whole frame and its answer, over any ledger, parser and connections. */
export const intakeLayer = Workers.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(BetTurns.layer, ConsultTurns.layer)),
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
  Layer.provideMerge(Layer.mergeAll(configuredLedgerLayer, ChunkParser.layer)),
  Layer.provideMerge(Layer.effectDiscard(watchDescriptors)),
  Layer.provideMerge(Keeper.layer),
  Layer.provideMerge(operationsLayer)
)
