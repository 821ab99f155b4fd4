/** `compose`: writes a compose file for a central and its agencies. */
import { Console, Effect, Option, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { composeAgenciesMax } from "../domain/Limits.ts"
import { configuredLedger } from "./ConfigurationFlags.ts"
import { integer } from "./Flags.ts"
import { failWhenInterrupted, forceFlag, outFlag } from "./NewFileFlags.ts"

export const compose = Command.make(
  "compose",
  {
    agencies: Argument.Int("agencies").pipe(
      Argument.withSchema(integer(1, composeAgenciesMax)),
      Argument.withDescription(`Number of agencies, 1 to ${composeAgenciesMax}`)
    ),
    trial: Flag.Boolean("trial").pipe(
      Flag.withDefault(false),
      Flag.withDescription(
        "The agencies send generated bets, and the trial has a ledger of its own"
      )
    ),
    cluster: Flag.Boolean("cluster").pipe(
      Flag.withDefault(false),
      Flag.withDescription(
        "Three servers over one PostgreSQL, behind HAProxy, instead of one server with a file"
      )
    ),
    out: outFlag,
    force: forceFlag
  },
  Effect.fnUntraced(function*({ agencies, cluster, force, out, trial }) {
    const composed = cluster
      ? Effect.map(
        Effect.promise(() => import("../services/trial/ClusterCompose.ts")),
        ({ clusterComposeFile }) => clusterComposeFile
      )
      : Effect.map(
        Effect.promise(() => import("../services/trial/Compose.ts")),
        ({ composeFile }) => composeFile
      )
    const text = (yield* composed)({ agencies, trial })
    if (Option.isNone(out)) return yield* Console.log(text.trimEnd())
    const { writeNewFile } = yield* Effect.promise(() => import("../services/admin/NewFile.ts"))
    const ledgers = [yield* configuredLedger("config.yaml")]
    yield* writeNewFile(out.value, Stream.succeed(Buffer.from(text)), { force, ledgers })
  }, failWhenInterrupted)
).pipe(
  Command.withDescription(
    "Write a compose file with a central and the given number of agencies. They are numbered from 1, and agency N sends "
      + "data/agency-N.csv."
  ),
  Command.withShortDescription("Write a compose file"),
  Command.withExamples([
    { command: "loteria compose 12 --out compose-12.yaml" },
    { command: "loteria compose 12 --cluster --out compose-12.yaml" }
  ])
)
