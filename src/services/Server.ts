/**
 * The central, composed. `provideMerge` builds the layer that it is given before those above it, and a scope releases
 * in reverse. So from top to bottom the layers stand in the order of shutdown, which is what makes it safe.
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
import { GroupCommit } from "./ledger/GroupCommit.ts"
import { configuredLedgerLayer } from "./ledger/home/ConfiguredLedger.ts"
import { operationsLayer } from "./operations/Operations.ts"

/** From a complete frame to its answer, over any ledger, parser and connections. */
export const intakeLayer = Workers.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(BetTurns.layer, ConsultTurns.layer)),
  Layer.provideMerge(Layer.mergeAll(Lottery.layer, Told.layer)),
  Layer.provideMerge(GroupCommit.layer),
  Layer.provideMerge(Connections.layer),
  Layer.provideMerge(Refusals.layer)
)

/** Parsers and ledger start side by side; this ends the parsers before the ledger is closed. */
const parsersEndFirst = Layer.effectDiscard(Effect.gen(function*() {
  const { close } = yield* ChunkParser
  yield* Effect.addFinalizer(() => close)
}))

/** Needs Settings, Lifetime and OperatorLog, which outlive the server. */
export const serverLayer = Layer.mergeAll(BetAcceptor.layer, ConsultAcceptor.layer).pipe(
  // Drains the connections before the workers end.
  Layer.provideMerge(intakeLayer),
  Layer.provideMerge(parsersEndFirst),
  Layer.provideMerge(Layer.mergeAll(configuredLedgerLayer, ChunkParser.layer)),
  Layer.provideMerge(Layer.effectDiscard(watchDescriptors)),
  // Answers /readyz with 503 until everything above is closed.
  Layer.provideMerge(operationsLayer),
  Layer.provideMerge(Keeper.layer)
)
