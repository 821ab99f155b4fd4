/** `agency`: delivers an agency's bets, waits for the draw, and prints the agency's winners. */
import { Config, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { DrawName } from "../domain/Draw.ts"
import { agencyFlags } from "./AgencyFlags.ts"
import { integer } from "./Flags.ts"

const flags = {
  ...agencyFlags,
  id: Flag.optional(agencyFlags.id),
  file: Flag.String("file").pipe(
    Flag.optional,
    Flag.withDescription(
      "The agency's bet file, or - for standard input. By default the single bet in NOMBRE, APELLIDO, DOCUMENTO, "
        + "NACIMIENTO and NUMERO if they are set, otherwise data/agency-ID.csv"
    )
  ),
  check: Flag.String("check").pipe(
    Flag.withMetavar("FILE"),
    Flag.optional,
    Flag.withDescription("Check this bet file and report its errors; contacts no central")
  ),
  empty: Flag.Boolean("empty").pipe(
    Flag.withDefault(false),
    Flag.withDescription(
      "Accept a file without bets: the agency has sold none. Otherwise such a file is refused"
    )
  ),
  draw: Flag.String("draw").pipe(
    Flag.withMetavar("NAME"),
    Flag.withSchema(DrawName),
    Flag.optional,
    Flag.withDescription("The draw that the bets are for; they are sent to no other")
  ),
  state: Flag.String("state").pipe(
    Flag.withMetavar("PATH"),
    Flag.optional,
    Flag.withDescription(
      "The file that records which draw the bets were sent to; by default FILE.loteria.json beside the bet file. Bets "
        + "from other sources have none: use --draw for them"
    )
  ),
  chunk: Flag.Int("chunk").pipe(
    Flag.withFallbackConfig(
      Config.Int("CHUNK_SIZE").pipe(Config.orElse(() => Config.Int("CLI_BATCH_MAXAMOUNT")))
    ),
    Flag.withDefault(100),
    Flag.withSchema(integer(1, 100_000)),
    Flag.withDescription(
      "Maximum number of bets in a chunk (or CHUNK_SIZE, or CLI_BATCH_MAXAMOUNT); 100 by default"
    )
  ),
  window: Flag.Int("window").pipe(
    Flag.withDefault(8),
    Flag.withSchema(integer(1, 1024)),
    Flag.withDescription("Maximum number of chunks sent ahead of their answers; 8 by default")
  )
}

export const agency = Command.make(
  "agency",
  flags,
  Effect.fnUntraced(function*(options) {
    const { runAgency } = yield* Effect.promise(() => import("./AgencyRun.ts"))
    yield* runAgency(options)
  })
).pipe(
  Command.withDescription(
    "Deliver an agency's bets, wait for the draw, and print the documents of its winning bets, one a line. Progress and "
      + "log go to standard error. After an interruption, start it again: it continues with the first bet that the central "
      + "has not stored. "
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
