/** Flags of several commands, and how their text is read. */
import { Config, Option, Schema } from "effect"
import { Flag } from "effect/cli"
import { logLevels } from "../services/base/LogLevel.ts"

export const integer = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** `HOST:PORT`; an IPv6 host is in brackets, `[::1]:12345`. */
const parseAddress = (
  text: string
): Option.Option<{ readonly host: string; readonly port: number }> => {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  return host === undefined || port < 1 || port > 65_535
    ? Option.none()
    : Option.some({ host, port })
}

/** An address of the central; without the flag, that of the environment variable. */
export const addressFlag = (name: string, variable: string) =>
  Flag.String(name).pipe(
    Flag.withFallbackConfig(Config.String(variable)),
    Flag.withMetavar("HOST:PORT")
  )

export const expectAddress = <A extends string>(flag: Flag.Flag<A>) =>
  Flag.filterMap(flag, parseAddress, () => "expected HOST:PORT")

/** A log level, in upper or lower case. */
export const logLevelFlag = (variable: string) =>
  Flag.String("log-level").pipe(
    Flag.withFallbackConfig(Config.String(variable)),
    Flag.withDefault("INFO"),
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(logLevels.find((level) => level === text.toUpperCase())),
      () => `expected one of ${logLevels.join(", ")}`
    ),
    Flag.withDescription(`One of ${logLevels.join(", ")} (or ${variable}); INFO by default`)
  )
