/** `generate`: writes agency files for trials, the same ones for the same seed. */
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
      Flag.withDescription("How many agencies")
    ),
    bets: Flag.Int("bets").pipe(
      Flag.withDefault(80_000),
      Flag.withSchema(integer(0, 1_000_000_000)),
      Flag.withDescription("How many bets, over all agencies")
    ),
    seed: Flag.Int("seed").pipe(
      Flag.withDefault(42),
      Flag.withSchema(integer(0, Number.MAX_SAFE_INTEGER)),
      Flag.withDescription("The same seed gives the same files")
    ),
    out: Flag.String("out").pipe(
      Flag.withDefault("data"),
      Flag.withDescription("The folder for agency-1.csv, agency-2.csv and so on")
    ),
    force: forceFlag,
    keep: Flag.Boolean("keep").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Write only the files that aren't there")
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
    "Write plausible agency files, of sizes as uneven as real ones. Files that are there are left as they are, and "
      + "nothing is written then, unless --force replaces them or --keep adds the others."
  ),
  Command.withShortDescription("Write agency files for trials")
)
