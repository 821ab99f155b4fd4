/** What `agency` and `consult` have in common: who they are, where the central is, how long they try. */
import { Config, Console, Effect, Layer, Option } from "effect"
import { Flag } from "effect/cli"
import { AgencyId } from "../domain/Agency.ts"
import type { Address } from "../services/AgencyClient/CentralConnection.ts"
import type { LogSink } from "../services/OperatorLog.ts"
import type { LogLevel } from "../services/Settings.ts"
import { addressFlag, expectAddress, integer, logLevelFlag } from "./Flags.ts"

export const agencyFlags = {
  id: Flag.Int("id").pipe(
    Flag.withFallbackConfig(Config.Int("CLI_ID")),
    Flag.withSchema(AgencyId),
    Flag.withDescription("The agency's number (or CLI_ID)")
  ),
  server: addressFlag("server", "CLI_SERVER_ADDRESS").pipe(
    Flag.withDefault("127.0.0.1:12345"),
    expectAddress,
    Flag.withDescription(
      "The central's bets port (or CLI_SERVER_ADDRESS); 127.0.0.1:12345 when absent"
    )
  ),
  consult: addressFlag("consult", "CLI_SERVER_CONSULT_ADDRESS").pipe(
    expectAddress,
    Flag.optional,
    Flag.withDescription(
      "Its consult port (or CLI_SERVER_CONSULT_ADDRESS); the bets port's address, one port up, when absent"
    )
  ),
  giveUpAfter: Flag.Int("give-up-after").pipe(
    Flag.withDefault(24 * 60 * 60),
    Flag.withSchema(integer(1, 365 * 24 * 60 * 60)),
    Flag.withDescription("Seconds without a sign of the central after which trying ends")
  ),
  logLevel: logLevelFlag("CLI_LOG_LEVEL")
}

export interface AgencyFlags {
  readonly id: AgencyId
  readonly server: Address
  readonly consult: Option.Option<Address>
  readonly giveUpAfter: number
  readonly logLevel: LogLevel
}

/** How long a signal may take to end the agency: it has nothing to finish but its connection. */
const graceMs = 5000

const modules = Effect.promise(async () => {
  const [client, log, signals] = await Promise.all([
    import("../services/AgencyClient.ts"),
    import("../services/OperatorLog.ts"),
    import("../services/Signals.ts")
  ])
  return { ...client, ...log, ...signals }
})

export interface DeliveryChoices {
  readonly chunkBets?: number
  readonly windowChunks?: number
  readonly chunkLogLevel?: LogLevel
}

/** A client until the scope ends, by a signal or otherwise; its log goes to `sink`. */
export const openAgency = Effect.fnUntraced(function*(
  { consult, giveUpAfter, id, logLevel, server }: AgencyFlags,
  sink: LogSink,
  choices: DeliveryChoices = {}
) {
  const { agencyDefaults, AgencyClient, endOnSignals, LogWriter, OperatorLog } = yield* modules
  const log = yield* Effect.acquireRelease(
    Effect.sync(() => {
      // A reader of our stdout that went away must not end the agency.
      process.stdout.on("error", () => {})
      return new LogWriter({ level: logLevel, format: "text", flushMs: 20 }, sink)
    }),
    (writer) => Effect.sync(() => writer.flush())
  )
  const logLayer = Layer.succeed(OperatorLog, log)
  yield* endOnSignals(graceMs).pipe(Effect.provide(logLayer))
  const client = yield* AgencyClient.pipe(
    Effect.provide(
      AgencyClient.layer({
        ...agencyDefaults,
        agency: id,
        server,
        consult: Option.getOrElse(consult, () => ({ ...server, port: server.port + 1 })),
        giveUpAfterMs: giveUpAfter * 1000,
        ...choices
      }).pipe(Layer.provide(logLayer))
    )
  )
  return {
    deliver: client.deliver,
    /** Waits for the draw. The log is written with a delay: it is whole before this succeeds. */
    winners: Effect.tap(client.winners, () => Effect.sync(() => log.flush()))
  }
})

export const printText: LogSink = (text) => {
  process.stdout.write(text)
}

/** One document a line, for scripts. */
export const printWinners = (winners: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.forEach(winners, (document) => Console.log(document), { discard: true })
