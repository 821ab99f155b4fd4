/** The product's own agency, in this process: delivers its bets over however many connections, and waits for its winners. */
import { Effect, identity, Layer, Option, Stream } from "effect"
import { AgencyId } from "../../src/domain/Agency.ts"
import { betOfFields } from "../../src/domain/Bet.ts"
import {
  AgencyClient,
  agencyDefaults,
  type DeliveryProgress
} from "../../src/services/agency/AgencyClient.ts"
import { LogWriter, OperatorLog } from "../../src/services/base/OperatorLog.ts"

export interface OurAgencyOptions {
  readonly id: number
  /** As the items of a payload. Each connection reads them from the top; they may come slowly. */
  readonly bets: () => Iterable<string> | AsyncIterable<string>
  readonly betsPort: number
  readonly consultPort: number
  readonly chunkBets: number
  readonly windowChunks: number
  readonly giveUpAfterMs: number
  /** Called with the bets that are known to be stored. */
  readonly onStored: (bets: number) => void
}

const host = "127.0.0.1"

/** The winners' documents. */
export const ourAgency = (options: OurAgencyOptions): Promise<ReadonlyArray<string>> => {
  const bets = Stream.fromAsyncIterable(
    { [Symbol.asyncIterator]: () => each(options.bets()) },
    identity
  )
    .pipe(
      Stream.orDie,
      Stream.map((text) => Option.getOrThrow(betOfFields(text.split(",")))),
      Stream.zipWithIndex,
      Stream.map(([bet, index]) => ({ line: index + 1, bet }))
    )
  const onProgress = ({ bets: stored }: DeliveryProgress) => {
    if (stored !== undefined) options.onStored(stored)
  }
  const program = Effect.gen(function*() {
    const { deliver, winners } = yield* AgencyClient
    yield* deliver(bets, { onProgress })
    return yield* winners
  })
  const log = new LogWriter({ level: "CRITICAL", format: "text", flushMs: 0 }, () => {})
  const client = AgencyClient.layer({
    ...agencyDefaults,
    agency: AgencyId.make(options.id),
    servers: [{ host, port: options.betsPort }],
    consults: [{ host, port: options.consultPort }],
    chunkBets: options.chunkBets,
    windowChunks: options.windowChunks,
    backoffFirstMs: 20,
    backoffMaxMs: 100,
    giveUpAfterMs: options.giveUpAfterMs
  })
  return program.pipe(
    Effect.provide(Layer.provide(client, Layer.succeed(OperatorLog, log))),
    Effect.runPromise
  )
}

async function* each<A>(items: Iterable<A> | AsyncIterable<A>): AsyncGenerator<A> {
  yield* items
}
