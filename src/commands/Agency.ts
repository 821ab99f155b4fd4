/** `agency`: delivers an agency's bets, waits for the draw, and prints the agency's winners. */
import { Config, Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { agencyFlags, openAgency, printText, printWinners } from "./AgencyFlags.ts"
import { integer } from "./Flags.ts"

const flags = {
  ...agencyFlags,
  file: Flag.String("file").pipe(
    Flag.optional,
    Flag.withDescription(
      "The agency's bet file, - for standard input; when absent the one bet in NOMBRE, APELLIDO, DOCUMENTO, "
        + "NACIMIENTO and NUMERO if they are set, else data/agency-ID.csv"
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
  )
}

/** The agency's bets, from where the flags and the environment say; can be run again. */
const openBets = Effect.fnUntraced(function*(file: Option.Option<string>, id: number) {
  if (Option.isSome(file) && file.value === "-") {
    const { spoolBets } = yield* Effect.promise(() => import("../services/BetSpool.ts"))
    return yield* spoolBets("standard input", process.stdin)
  }
  const { readBets } = yield* Effect.promise(() => import("../services/BetFile.ts"))
  if (Option.isSome(file)) return readBets(file.value)
  const { singleBet } = yield* Effect.promise(() => import("../services/SingleBet.ts"))
  return Option.getOrElse(
    yield* singleBet(process.env),
    () => readBets(`data/agency-${id}.csv`)
  )
})

/** A bar on standard error, if a person sees both outputs on a terminal that has a size and can move its cursor. */
const barOnTerminal = Effect.gen(function*() {
  const { stderr, stdout } = process
  if (!stdout.isTTY || !stderr.isTTY || !stderr.columns || process.env["TERM"] === "dumb") return
  const { ProgressBar } = yield* Effect.promise(() => import("../services/ProgressBar.ts"))
  return new ProgressBar(stderr)
})

export const agency = Command.make(
  "agency",
  flags,
  Effect.fnUntraced(function*({ chunk, file, window, ...shared }) {
    const bar = yield* barOnTerminal
    const client = yield* openAgency(
      shared,
      bar === undefined ? printText : (text) => bar.above(() => printText(text)),
      // Where there is a bar it says the same as the lines of single chunks.
      { chunkBets: chunk, windowChunks: window, chunkLogLevel: bar ? "DEBUG" : "INFO" }
    )
    const bets = yield* openBets(file, shared.id)
    // Bets that are missing or wrong are told of before the first one is sent.
    const total = yield* Stream.runCount(bets)
    if (bar === undefined) yield* client.deliver(bets)
    else {
      yield* Effect.scoped(
        Effect.flatMap(
          bar.follow(total),
          (told) => client.deliver(bets, (progress) => told(progress.bets))
        )
      )
      yield* Effect.addFinalizer(() => Effect.sync(() => bar.clear()))
      bar.show("waiting for the draw")
    }
    const winners = yield* client.winners
    bar?.clear()
    yield* printWinners(winners)
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Deliver an agency's bets, wait for the draw, and print the documents of its winning bets, one a line, after the log. "
      + "Interrupted at any point it can be started again: it goes on where the central got to. "
      + "Exit codes: 0 done or ended by a signal, 1 failed (standard error says why and what to do) or cut short by a "
      + "second signal, 2 wrong usage."
  ),
  Command.withShortDescription("Deliver an agency's bets and print its winners"),
  Command.withExamples([
    { command: "loteria agency --id 3 --file agency-3.csv --server central:12345" },
    { command: "zcat agency-3.csv.gz | loteria agency --id 3 --file - --server central:12345" }
  ])
)
