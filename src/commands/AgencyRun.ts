/** What `agency` and `consult` do: deliver bets, wait for the draw, print the winners. */
import { Array, Console, Effect, Layer, Option } from "effect"
import { CliError } from "effect/cli"
import type { DrawName } from "../domain/Draw.ts"
import { AgencyClient, agencyDefaults } from "../services/agency/AgencyClient.ts"
import { checkBets } from "../services/agency/BetCheck.ts"
import { BetFileUnusable, type BetInput, betsOf } from "../services/agency/BetFile.ts"
import { openBets } from "../services/agency/BetSource.ts"
import { openDrawMemory } from "../services/agency/DrawMemory.ts"
import type { ProgressBar } from "../services/agency/ProgressBar.ts"
import { singleBet } from "../services/agency/SingleBet.ts"
import { ExitCode } from "../services/base/ExitCode.ts"
import type { LogLevel } from "../services/base/LogLevel.ts"
import { type LogSink, LogWriter, OperatorLog } from "../services/base/OperatorLog.ts"
import { endOnSignals } from "../services/base/Signals.ts"
import type { AgencyFlags } from "./AgencyFlags.ts"
import { whenInterrupted } from "./Failure.ts"
import { counted } from "./Numbers.ts"
import { barOnTerminal, showing } from "./TerminalBar.ts"

/** The longest time between a signal and the end: an agency has only its connection to close. */
const graceMs = 5000

const printLog: LogSink = (text) => {
  process.stderr.write(text)
}

interface DeliveryChoices {
  readonly chunkBets?: number
  readonly windowChunks?: number
  readonly chunkLogLevel?: LogLevel
}

/** A client for the scope. Its log goes to stderr, above the bar if there is one; stdout is for winners alone. */
const openAgency = Effect.fnUntraced(function*(
  { consult, giveUpAfter, id, logLevel, server }: AgencyFlags,
  bar: ProgressBar | undefined,
  choices: DeliveryChoices = {}
) {
  const log = yield* Effect.acquireRelease(
    Effect.sync(() => {
      // A reader of the output that goes away must not end the agency.
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
        servers: server,
        consults: Option.getOrElse(
          consult,
          () => Array.map(server, (address) => ({ ...address, port: address.port + 1 }))
        ),
        giveUpAfterMs: giveUpAfter * 1000,
        ...choices
      }).pipe(Layer.provide(logLayer))
    )
  )
  return {
    deliver: client.deliver,
    /** Waits for the draw. The log is written with a delay: it is flushed before this succeeds. */
    winners: Effect.tap(client.winners, () => Effect.sync(() => log.flush()))
  }
})

/** One document a line, for scripts. */
const printWinners = (winners: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.forEach(winners, (document) => Console.log(document), { discard: true })

/** For a script that waits for the winners, a signal is neither success nor failure. */
const untilWinners = (agency: number) =>
  whenInterrupted(
    ExitCode.endedBySignal,
    `agency ${agency}: ended by a signal before its winners were printed; start it again to continue`
  )

export interface DeliveryFlags {
  readonly file: Option.Option<string>
  readonly check: Option.Option<string>
  readonly empty: boolean
  readonly draw: Option.Option<DrawName>
  readonly state: Option.Option<string>
  readonly chunk: number
  readonly window: number
}

/** The bets that the flags and the environment name. */
const sourceOf = Effect.fnUntraced(function*(file: Option.Option<string>, id: number) {
  if (Option.isSome(file)) return yield* openBets(file.value)
  const single = yield* singleBet(process.env)
  return Option.isSome(single)
    ? { input: single.value, file: undefined }
    : yield* openBets(`data/agency-${id}.csv`)
})

/** Checks every bet before the first is sent. An input without bets is refused unless it is meant to be empty. */
const checkAll = Effect.fnUntraced(function*(input: BetInput, agency: number, empty: boolean) {
  const checked = yield* checkBets(input, agency)
  if (checked.bets > 0 || empty) return checked
  // An agency's end is final, and an empty input is more often a failed export than a day without sales.
  const problem = "it has no bets; an agency that has sold none says so with --empty"
  return yield* new BetFileUnusable({ path: input.name, problem })
})

const check = Effect.fnUntraced(function*(path: string, empty: boolean) {
  const { input } = yield* openBets(path)
  const { bets } = yield* checkAll(input, 1, empty)
  yield* Console.log(`${input.name}: ${counted(bets, "bet")}, nothing wrong`)
}, Effect.scoped)

const deliver = Effect.fnUntraced(function*(options: AgencyFlags & DeliveryFlags) {
  const agency = options.id
  const bar = yield* barOnTerminal(process.stderr)
  const client = yield* openAgency(options, bar, {
    chunkBets: options.chunk,
    windowChunks: options.window,
    // A bar shows what the log lines of single chunks would say.
    chunkLogLevel: bar ? "DEBUG" : "INFO"
  })
  const source = sourceOf(options.file, agency)
  const { file, input } = yield* showing(bar, "waiting for the bets", source)
  const memory = yield* openDrawMemory({
    agency,
    draw: Option.getOrUndefined(options.draw),
    path: Option.getOrElse(options.state, () => file && `${file}.loteria.json`)
  })
  const checked = yield* checkAll(input, agency, options.empty)
  const bets = betsOf(input)
  yield* Effect.scoped(Effect.gen(function*() {
    if (bar === undefined) return yield* client.deliver(bets, { checked, memory })
    const onProgress = yield* bar.follow(checked.bets)
    return yield* client.deliver(bets, { checked, memory, onProgress })
  }))
  yield* printWinners(yield* showing(bar, "all delivered, waiting for the draw", client.winners))
})

export const runAgency = Effect.fnUntraced(function*(
  { id, ...options }: Omit<AgencyFlags, "id"> & DeliveryFlags & {
    readonly id: Option.Option<AgencyFlags["id"]>
  }
) {
  if (Option.isSome(options.check)) return yield* check(options.check.value, options.empty)
  if (Option.isNone(id)) {
    const missing = new CliError.MissingOption({ option: "id" })
    return yield* new CliError.ShowHelp({ commandPath: ["loteria", "agency"], errors: [missing] })
  }
  yield* deliver({ ...options, id: id.value }).pipe(untilWinners(id.value), Effect.scoped)
})

const consult = Effect.fnUntraced(function*(flags: AgencyFlags) {
  const bar = yield* barOnTerminal(process.stderr)
  const { winners } = yield* openAgency(flags, bar)
  yield* printWinners(yield* showing(bar, "waiting for the draw", winners))
})

export const runConsult = (flags: AgencyFlags) =>
  consult(flags).pipe(untilWinners(flags.id), Effect.scoped)
