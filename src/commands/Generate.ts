/** `generate`: writes bet files for trials, the same files for the same seed. */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { configuredLedger } from "./ConfigurationFlags.ts"
import { integer } from "./Flags.ts"
import { failWhenInterrupted, forceFlag } from "./NewFileFlags.ts"

export const generate = Command.make(
  "generate",
  {
    agencies: Flag.Int("agencies").pipe(
      Flag.withDefault(5),
      Flag.withSchema(integer(1, 100_000)),
      Flag.withDescription("Number of agencies; 5 by default")
    ),
    bets: Flag.Int("bets").pipe(
      Flag.withDefault(80_000),
      Flag.withSchema(integer(0, 1_000_000_000)),
      Flag.withDescription("Number of bets of all agencies together; 80000 by default")
    ),
    seed: Flag.Int("seed").pipe(
      Flag.withDefault(42),
      Flag.withSchema(integer(0, Number.MAX_SAFE_INTEGER)),
      Flag.withDescription("The same seed gives the same files; 42 by default")
    ),
    out: Flag.String("out").pipe(
      Flag.withDefault("data"),
      Flag.withDescription("The folder for agency-1.csv, agency-2.csv and so on; data by default")
    ),
    force: forceFlag,
    keep: Flag.Boolean("keep").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Write only the files that do not exist yet")
    )
  },
  Effect.fnUntraced(function*({ force, keep, out, ...generation }) {
    const { generateFiles } = yield* Effect.promise(() =>
      import("../services/trial/GeneratedFiles.ts")
    )
    const ledgers = [yield* configuredLedger("config.yaml")]
    for (const file of yield* generateFiles(out, generation, { force, keep, ledgers })) {
      yield* Console.log(`${file.path}: ${file.bets} bets`)
    }
  }, failWhenInterrupted)
).pipe(
  Command.withDescription(
    "Write plausible bet files, with sizes as uneven as real ones. If one of the files exists, nothing is written, unless "
      + "--force replaces it or --keep writes only the others."
  ),
  Command.withShortDescription("Write bet files for trials")
)
