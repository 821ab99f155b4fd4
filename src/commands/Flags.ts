/** Flags of several commands, and how their text is read. */
import { Array, Config, Option, Schema } from "effect"
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

/** More servers than that are a list of something else. */
const addressesMax = 16

/** Addresses with commas between them. */
const parseAddresses = (text: string) => {
  const texts = text.split(",").map((each) => each.trim())
  return Array.isReadonlyArrayNonEmpty(texts) && texts.length <= addressesMax
    ? Option.all(Array.map(texts, parseAddress))
    : Option.none()
}

/** Addresses of the central's servers; without the flag, those of the environment variable. */
export const addressesFlag = (name: string, variable: string) =>
  Flag.String(name).pipe(
    Flag.withFallbackConfig(Config.String(variable)),
    Flag.withMetavar("HOST:PORT[,HOST:PORT…]")
  )

export const expectAddresses = <A extends string>(flag: Flag.Flag<A>) =>
  Flag.filterMap(
    flag,
    parseAddresses,
    () => `expected HOST:PORT, or up to ${addressesMax} of them with commas`
  )

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
