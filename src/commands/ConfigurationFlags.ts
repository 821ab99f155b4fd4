/** The configuration that a command reads, and the ledger that it names. */
import { Effect, Option } from "effect"
import { Flag } from "effect/cli"

export const configFlag = (description: string) =>
  Flag.String("config").pipe(
    Flag.withAlias("c"),
    Flag.withDefault("config.yaml"),
    Flag.withDescription(description)
  )

export const loadConfiguration = Effect.fnUntraced(function*(path: string) {
  const { loadSettings } = yield* Effect.promise(() => import("../services/base/Settings.ts"))
  return yield* loadSettings(path, process.env)
})

/** A ledger: by its path, or the one that the configuration names. */
export const ledgerFlags = {
  ledger: Flag.String("ledger").pipe(
    Flag.optional,
    Flag.withDescription("The ledger file; by default the one in the configuration or LEDGER_PATH")
  ),
  config: configFlag("The configuration that names the ledger")
}

/** The ledger's path, from the flags of {@link ledgerFlags}. */
export const ledgerPath = Effect.fnUntraced(function*(flags: {
  readonly ledger: Option.Option<string>
  readonly config: string
}) {
  if (Option.isSome(flags.ledger)) return flags.ledger.value
  return (yield* loadConfiguration(flags.config)).ledger.path
})

/** The ledger that a central on this machine would use, also when the configuration cannot be read. */
export const configuredLedger = (config: string): Effect.Effect<string> =>
  loadConfiguration(config).pipe(
    Effect.map(({ ledger }) => ledger.path),
    Effect.orElseSucceed(() => process.env["LEDGER_PATH"] || "data/ledger.sqlite")
  )
