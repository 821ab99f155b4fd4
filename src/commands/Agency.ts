/** `agency`: delivers an agency's bet file, waits for the draw, and prints the agency's winners. */
import { Config, Console, Effect, Layer, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { AgencyId } from "../domain/Agency.ts"
import { addressFlag, expectAddress, integer, logLevelFlag } from "./Flags.ts"

const flags = {
  id: Flag.Int("id").pipe(
    Flag.withFallbackConfig(Config.Int("CLI_ID")),
    Flag.withSchema(AgencyId),
    Flag.withDescription("The agency's number (or CLI_ID)")
  ),
  file: Flag.String("file").pipe(
    Flag.optional,
    Flag.withDescription("The agency's bet file; data/agency-ID.csv when absent")
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
  chunk: Flag.Int("chunk").pipe(
    Flag.withFallbackConfig(
      Config.Int("CHUNK_SIZE").pipe(Config.orElse(() => Config.Int("CLI_BATCH_MAXAMOUNT")))
    ),
    Flag.withDefault(100),
    Flag.withSchema(integer(1, 100_000)),
    Flag.withDescription("Bets a chunk, at most (or CHUNK_SIZE, or CLI_BATCH_MAXAMOUNT)")
  ),
  window: Flag.Int("window").pipe(
    Flag.withDefault(8),
    Flag.withSchema(integer(1, 1024)),
    Flag.withDescription("Chunks sent before the first of them is answered, at most")
  ),
  giveUpAfter: Flag.Int("give-up-after").pipe(
    Flag.withDefault(24 * 60 * 60),
    Flag.withSchema(integer(1, 365 * 24 * 60 * 60)),
    Flag.withDescription("Seconds without a sign of the central after which trying ends")
  ),
  logLevel: logLevelFlag("CLI_LOG_LEVEL")
}

/** How long a signal may take to end the agency: it has nothing to finish but its connection. */
const graceMs = 5000

const modules = Effect.promise(async () => {
  const [client, file, log, signals] = await Promise.all([
    import("../services/AgencyClient.ts"),
    import("../services/BetFile.ts"),
    import("../services/OperatorLog.ts"),
    import("../services/Signals.ts")
  ])
  return { ...client, ...file, ...log, ...signals }
})

export const agency = Command.make(
  "agency",
  flags,
  Effect.fnUntraced(function*({ chunk, consult, file, giveUpAfter, id, logLevel, server, window }) {
    const { agencyDefaults, AgencyClient, endOnSignals, LogWriter, OperatorLog, readBets } =
      yield* modules
    const logLayer = Layer.effect(
      OperatorLog,
      Effect.acquireRelease(
        Effect.sync(() => {
          // A reader of our stdout that went away must not end the agency.
          process.stdout.on("error", () => {})
          return new LogWriter({ level: logLevel, format: "text", flushMs: 20 }, (text) => {
            process.stdout.write(text)
          })
        }),
        (log) => Effect.sync(() => log.flush())
      )
    )
    const clientLayer = AgencyClient.layer({
      ...agencyDefaults,
      agency: id,
      server,
      consult: Option.getOrElse(consult, () => ({ ...server, port: server.port + 1 })),
      chunkBets: chunk,
      windowChunks: window,
      giveUpAfterMs: giveUpAfter * 1000
    })
    yield* Effect.gen(function*() {
      yield* endOnSignals(graceMs)
      const client = yield* AgencyClient
      const bets = readBets(Option.getOrElse(file, () => `data/agency-${id}.csv`))
      // A file that is missing or wrong is told of before the first bet is sent.
      yield* Stream.runDrain(bets)
      yield* client.deliver(bets)
      const winners = yield* client.winners
      // The log is written with a delay; the winners come after it.
      const log = yield* OperatorLog
      log.flush()
      for (const document of winners) yield* Console.log(document)
    }).pipe(
      Effect.scoped,
      Effect.provide(clientLayer.pipe(Layer.provideMerge(logLayer)))
    )
  })
).pipe(
  Command.withDescription(
    "Deliver an agency's bets, wait for the draw, and print the documents of its winning bets. "
      + "Interrupted at any point it can be started again: it goes on where the central got to. "
      + "Exit codes: 0 done or ended by a signal, 1 failed, 2 wrong usage."
  ),
  Command.withShortDescription("Deliver an agency's bets and print its winners"),
  Command.withExamples([
    { command: "loteria agency --id 3 --file agency-3.csv --server central:12345" }
  ])
)
