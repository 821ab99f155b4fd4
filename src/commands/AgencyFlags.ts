/** What `agency` and `consult` have in common: who they are, where the central is, how long they try. */
import { Config, Console, Effect, Layer, Option, Scope } from "effect"
import { Flag } from "effect/cli"
import { AgencyId } from "../domain/Agency.ts"
import type { Address } from "../services/agency/CentralConnection.ts"
import type { ProgressBar } from "../services/agency/ProgressBar.ts"
import type { LogSink } from "../services/base/OperatorLog.ts"
import type { LogLevel } from "../services/base/Settings.ts"
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
    Flag.withDescription(
      "Seconds without a sign of the central after which trying ends; 86400 (a day) when absent"
    )
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
    import("../services/agency/AgencyClient.ts"),
    import("../services/base/OperatorLog.ts"),
    import("../services/base/Signals.ts")
  ])
  return { ...client, ...log, ...signals }
})

export interface DeliveryChoices {
  readonly chunkBets?: number
  readonly windowChunks?: number
  readonly chunkLogLevel?: LogLevel
}

const printLog: LogSink = (text) => {
  process.stderr.write(text)
}

/**
 * A client until the scope ends, by a signal or otherwise; its log goes to standard error, above the bar if there is one:
 * standard output is for winners alone.
 */
export const openAgency = Effect.fnUntraced(function*(
  { consult, giveUpAfter, id, logLevel, server }: AgencyFlags,
  bar: ProgressBar | undefined,
  choices: DeliveryChoices = {}
) {
  const { agencyDefaults, AgencyClient, endOnSignals, LogWriter, OperatorLog } = yield* modules
  const log = yield* Effect.acquireRelease(
    Effect.sync(() => {
      // A reader of our output that went away must not end the agency.
      for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {})
      const sink: LogSink = bar === undefined
        ? printLog
        : (text) => bar.above(() => printLog(text))
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

/** One document a line, for scripts. */
export const printWinners = (winners: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.forEach(winners, (document) => Console.log(document), { discard: true })

/** A progress bar on an output that is a terminal with a size and a cursor that can move. */
export const barOnTerminal = Effect.fnUntraced(function*(output: NodeJS.WriteStream) {
  if (!output.isTTY || !output.columns || process.env["TERM"] === "dumb") return
  const { ProgressBar } = yield* Effect.promise(() => import("../services/agency/ProgressBar.ts"))
  return new ProgressBar(output)
})

/** Shows what is waited for while it is, if somebody looks on. */
export const showing = <A, E, R>(
  bar: ProgressBar | undefined,
  what: string,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  bar === undefined
    ? effect
    // A scope for the bar alone: what the effect opens outlives it.
    : Effect.acquireUseRelease(
      Scope.make(),
      (scope) => Effect.andThen(Scope.provide(bar.wait(what), scope), effect),
      Scope.close
    )

/** Sysexits calls it a temporary failure: try again later. */
const endedBySignal = 75

/**
 * What prints the winners at its end. A signal before that is neither success nor failure for who waits for them, so it
 * has an exit code of its own. An interrupted fiber can't fail with one: the process keeps it.
 */
export const untilWinners =
  (agency: number) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.onInterrupt(effect, () =>
      Effect.andThen(
        Effect.sync(() => {
          process.exitCode = endedBySignal
        }),
        Console.error(
          `loteria: agency ${agency}: ended by a signal before its winners were printed; start it again: it goes on`
        )
      ))
