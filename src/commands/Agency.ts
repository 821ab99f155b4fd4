/** `agency`: delivers an agency's bets, waits for the draw, and prints the agency's winners. */
import { Config, Console, Effect, Option } from "effect"
import { CliError, Command, Flag } from "effect/cli"

import { DrawName } from "../domain/Draw.ts"
import type { BetInput } from "../services/agency/BetFile.ts"
import {
  type AgencyFlags,
  agencyFlags,
  barOnTerminal,
  openAgency,
  printWinners,
  showing,
  untilWinners
} from "./AgencyFlags.ts"
import { integer } from "./Flags.ts"

const flags = {
  ...agencyFlags,
  id: Flag.optional(agencyFlags.id),
  file: Flag.String("file").pipe(
    Flag.optional,
    Flag.withDescription(
      "The agency's bet file, - for standard input; when absent the one bet in NOMBRE, APELLIDO, DOCUMENTO, "
        + "NACIMIENTO and NUMERO if they are set, else data/agency-ID.csv"
    )
  ),
  check: Flag.String("check").pipe(
    Flag.withMetavar("FILE"),
    Flag.optional,
    Flag.withDescription("Only look over this bet file, without a central, and say what is wrong")
  ),
  empty: Flag.Boolean("empty").pipe(
    Flag.withDefault(false),
    Flag.withDescription(
      "The agency has sold nothing: an empty file is meant; without this it is refused"
    )
  ),
  draw: Flag.String("draw").pipe(
    Flag.withMetavar("NAME"),
    Flag.withSchema(DrawName),
    Flag.optional,
    Flag.withDescription("The draw that the bets are for; nothing is sent to another")
  ),
  state: Flag.String("state").pipe(
    Flag.withMetavar("PATH"),
    Flag.optional,
    Flag.withDescription(
      "Where it is remembered which draw the bets were sent to; FILE.loteria.json beside the bet file when absent, and "
        + "nowhere for bets from elsewhere: for those say --draw"
    )
  ),
  chunk: Flag.Int("chunk").pipe(
    Flag.withFallbackConfig(
      Config.Int("CHUNK_SIZE").pipe(Config.orElse(() => Config.Int("CLI_BATCH_MAXAMOUNT")))
    ),
    Flag.withDefault(100),
    Flag.withSchema(integer(1, 100_000)),
    Flag.withDescription(
      "Bets a chunk, at most (or CHUNK_SIZE, or CLI_BATCH_MAXAMOUNT); 100 when absent"
    )
  ),
  window: Flag.Int("window").pipe(
    Flag.withDefault(8),
    Flag.withSchema(integer(1, 1024)),
    Flag.withDescription(
      "Chunks sent before the first of them is answered, at most; 8 when absent"
    )
  )
}

const modules = Effect.promise(async () => {
  const [file, source, bet, memory] = await Promise.all([
    import("../services/agency/BetFile.ts"),
    import("../services/agency/BetSource.ts"),
    import("../services/agency/SingleBet.ts"),
    import("../services/agency/DrawMemory.ts")
  ])
  return { ...file, ...source, ...bet, ...memory }
})

/** The agency's bets, from where the flags and the environment say. */
const sourceOf = Effect.fnUntraced(function*(file: Option.Option<string>, id: number) {
  const { openBets, singleBet } = yield* modules
  if (Option.isSome(file)) return yield* openBets(file.value)
  const single = yield* singleBet(process.env)
  return Option.isSome(single)
    ? { input: single.value, file: undefined }
    : yield* openBets(`data/agency-${id}.csv`)
})

/** Every bet is checked before the first is sent; none at all only when that is meant. */
const lookOverAll = Effect.fnUntraced(function*(input: BetInput, agency: number, empty: boolean) {
  const { BetFileUnusable, lookOver } = yield* modules
  const look = yield* lookOver(input, agency)
  if (look.bets > 0 || empty) return look
  // Whatever should have written it failed, more likely than that nothing was sold; and an agency's end is final.
  const problem = "it has no bets; an agency that has sold none says so with --empty"
  return yield* new BetFileUnusable({ path: input.name, problem })
})

interface DeliverFlags extends AgencyFlags {
  readonly file: Option.Option<string>
  readonly empty: boolean
  readonly draw: Option.Option<DrawName>
  readonly state: Option.Option<string>
  readonly chunk: number
  readonly window: number
}

const deliver = Effect.fnUntraced(function*(options: DeliverFlags) {
  const agency = options.id
  const bar = yield* barOnTerminal(process.stderr)
  const client = yield* openAgency(options, bar, {
    chunkBets: options.chunk,
    windowChunks: options.window,
    // Where there is a bar it says the same as the lines of single chunks.
    chunkLogLevel: bar ? "DEBUG" : "INFO"
  })
  const { betsOf, openDrawMemory } = yield* modules
  const { file, input } = yield* showing(
    bar,
    "waiting for the bets",
    sourceOf(options.file, agency)
  )
  const memory = yield* openDrawMemory({
    agency,
    draw: Option.getOrUndefined(options.draw),
    path: Option.getOrElse(options.state, () => file && `${file}.loteria.json`)
  })
  const look = yield* lookOverAll(input, agency, options.empty)
  const bets = betsOf(input)
  yield* Effect.scoped(Effect.gen(function*() {
    if (bar === undefined) return yield* client.deliver(bets, { look, memory })
    const onProgress = yield* bar.follow(look.bets)
    return yield* client.deliver(bets, { look, memory, onProgress })
  }))
  yield* printWinners(yield* showing(bar, "all delivered, waiting for the draw", client.winners))
})

const check = Effect.fnUntraced(function*(path: string, empty: boolean) {
  const { openBets } = yield* modules
  const { input } = yield* openBets(path)
  const { bets } = yield* lookOverAll(input, 1, empty)
  yield* Console.log(`${input.name}: ${bets} ${bets === 1 ? "bet" : "bets"}, nothing wrong`)
}, Effect.scoped)

export const agency = Command.make(
  "agency",
  flags,
  Effect.fnUntraced(function*({ id, ...options }) {
    if (Option.isSome(options.check)) return yield* check(options.check.value, options.empty)
    if (Option.isNone(id)) {
      const missing = new CliError.MissingOption({ option: "id" })
      return yield* new CliError.ShowHelp({ commandPath: ["loteria", "agency"], errors: [missing] })
    }
    yield* deliver({ ...options, id: id.value }).pipe(untilWinners(id.value), Effect.scoped)
  })
).pipe(
  Command.withDescription(
    "Deliver an agency's bets, wait for the draw, and print the documents of its winning bets, one a line; progress and "
      + "log are on standard error. Interrupted at any point it can be started again: it goes on where the central got to. "
      + "Exit codes: 0 done, 1 failed (standard error says why and what to do) or cut short by a second signal, "
      + "2 wrong usage, 75 ended by a signal before the winners were printed."
  ),
  Command.withShortDescription("Deliver an agency's bets and print its winners"),
  Command.withExamples([
    { command: "loteria agency --check agency-3.csv" },
    { command: "loteria agency --id 3 --file agency-3.csv --server central:12345" },
    {
      command: "zcat agency-3.csv.gz | loteria agency --id 3 --file - --draw 2026-11-24 "
        + "--server central:12345"
    }
  ])
)
