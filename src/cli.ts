/** The command tree. A command loads what it needs beyond its flags when it runs. */
import { Effect } from "effect"
import { CliConfig, Command, GlobalFlag } from "effect/cli"
import packageJson from "../package.json" with { type: "json" }
import { agency } from "./commands/Agency.ts"
import { compose } from "./commands/Compose.ts"
import { consult } from "./commands/Consult.ts"
import { demo } from "./commands/Demo.ts"
import { exportBets } from "./commands/Export.ts"
import { usualExitCodes, WrongUsage } from "./commands/Failure.ts"
import { generate } from "./commands/Generate.ts"
import { health } from "./commands/Health.ts"
import { ledger } from "./commands/Ledger.ts"
import { results } from "./commands/Results.ts"
import { serve } from "./commands/Serve.ts"

const loteria = Command.make("loteria").pipe(
  Command.withDescription(
    `The central of a national lottery, and its agencies. ${usualExitCodes}`
  ),
  Command.withSubcommands([
    serve,
    agency,
    consult,
    results,
    exportBets,
    generate,
    ledger,
    demo,
    compose,
    health
  ])
)

/** The log has settings of its own, so the flag that sets Effect's log level is left out. */
export const cli = Command.run(loteria, { version: packageJson.version }).pipe(
  Effect.catchTag(
    "ShowHelp",
    ({ errors }) => errors.length === 0 ? Effect.void : Effect.fail(new WrongUsage())
  ),
  Effect.provide(
    CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] })
  )
)
