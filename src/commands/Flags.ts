/** Flags that several commands have, and how their text is read. */
import { Config, Effect, Option, Schema } from "effect"
import { Flag } from "effect/cli"

export const integer = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** `HOST:PORT`; an IPv6 host in brackets, `[::1]:12345`. */
export const parseAddress = (
  text: string
): Option.Option<{ readonly host: string; readonly port: number }> => {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  return host === undefined || port < 1 || port > 65_535
    ? Option.none()
    : Option.some({ host, port })
}

/** An address of the central; the environment variable is used when the flag is absent. */
export const addressFlag = (name: string, variable: string) =>
  Flag.String(name).pipe(
    Flag.withFallbackConfig(Config.String(variable)),
    Flag.withMetavar("HOST:PORT")
  )

export const expectAddress = <A extends string>(flag: Flag.Flag<A>) =>
  Flag.filterMap(flag, parseAddress, () => "expected HOST:PORT")

const logLevels = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] as const

/** A level in any case, as deployments write it. */
export const logLevelFlag = (variable: string) =>
  Flag.String("log-level").pipe(
    Flag.withFallbackConfig(Config.String(variable)),
    Flag.withDefault("INFO"),
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(logLevels.find((level) => level === text.toUpperCase())),
      () => `expected one of ${logLevels.join(", ")}`
    ),
    Flag.withDescription(`One of ${logLevels.join(", ")} (or ${variable}); INFO when absent`)
  )

/** Where a ledger is: named, or as the configuration says. */
export const ledgerFlags = {
  ledger: Flag.String("ledger").pipe(
    Flag.optional,
    Flag.withDescription("The ledger's file; the configuration's (or LEDGER_PATH) when absent")
  ),
  config: Flag.String("config").pipe(
    Flag.withAlias("c"),
    Flag.withDefault("config.yaml"),
    Flag.withDescription("The configuration that names the ledger")
  )
}

/** The ledger's path, from the flags of {@link ledgerFlags}. */
export const ledgerPath = Effect.fnUntraced(function*(flags: {
  readonly ledger: Option.Option<string>
  readonly config: string
}) {
  if (Option.isSome(flags.ledger)) return flags.ledger.value
  const { loadSettings } = yield* Effect.promise(() => import("../services/base/Settings.ts"))
  return (yield* loadSettings(flags.config, process.env)).ledger.path
})
