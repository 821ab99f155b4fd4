/**
 * What the server is told: config.yaml, overridden by the field's environment variables, decoded by Schema.
 * Every bound of the system is here with its default. Unknown keys and wrong values are refused, each named with its
 * path (or its environment variable) and what was expected; nothing starts half-configured.
 */
import {
  Context,
  Effect,
  Layer,
  Option,
  Result,
  Runtime,
  Schema,
  SchemaGetter,
  SchemaIssue
} from "effect"
import { load } from "js-yaml"
import { readFile } from "node:fs/promises"
import { AgencyId, formatRoster, parseRoster } from "../domain/Agency.ts"
import { WinningNumber } from "../domain/Draw.ts"
import {
  agenciesCeiling,
  frameBytesCeiling,
  frameBytesDefault,
  listenBacklogMin
} from "../domain/Limits.ts"

/** EX_CONFIG of sysexits.h: what was configured can't be used. */
export const configurationExitCode = 78

/** The configuration can't be used. `message` says where it is wrong and what was expected. */
export class SettingsError extends Schema.TaggedError<SettingsError>()("SettingsError", {
  path: Schema.String,
  problems: Schema.Array(Schema.String)
}) {
  override readonly [Runtime.errorExitCode] = configurationExitCode
  override get message(): string {
    return `${this.path}: ${this.problems.join("; ")}`
  }
}

const withDefault = <S extends Schema.Constraint>(schema: S, value: S["Encoded"]) =>
  Schema.withDecodingDefaultKey<S>(Effect.succeed(value))(schema)

const integer = (minimum: number, maximum: number) => {
  const expected = { expected: `an integer from ${minimum} to ${maximum}` }
  // The message is for what is no number at all; the check's `expected` for other numbers.
  return Schema.Number.annotate({ message: `Expected ${expected.expected}` }).check(
    Schema.makeFilter(
      (value: number) => Number.isInteger(value) && value >= minimum && value <= maximum,
      expected
    )
  )
}

const bounded = (fallback: number, minimum: number, maximum: number) =>
  withDefault(integer(minimum, maximum), fallback)

const readRoster = (notation: number | string) =>
  parseRoster(String(notation).replaceAll(" ", ""), agenciesCeiling)

const RosterNotation = Schema.Union([Schema.Finite, Schema.String]).check(
  Schema.makeFilter((notation) => Option.isSome(readRoster(notation)), {
    expected:
      `a number of agencies (5 means 1 to 5) or their ids (3,5 or 3,), at most ${agenciesCeiling}`
  })
)

const Roster = RosterNotation.pipe(
  Schema.decodeTo(Schema.Array(Schema.toType(AgencyId)), {
    decode: SchemaGetter.transform((notation) => Option.getOrElse(readRoster(notation), () => [])),
    encode: SchemaGetter.transform((roster) => formatRoster(roster))
  })
)

const port = integer(0, 65535)

/** Absent means every interface, IPv6 and IPv4. */
const listener = (fallbackPort: number) =>
  withDefault(
    Schema.Struct({
      host: Schema.optionalKey(Schema.NonEmptyString),
      port: withDefault(port, fallbackPort)
    }),
    {}
  )

const LogLevels = Schema.Literals(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"])
export type LogLevel = typeof LogLevels.Type

const LogLevel = Schema.String.pipe(
  Schema.decodeTo(Schema.String, {
    decode: SchemaGetter.toUpperCase(),
    encode: SchemaGetter.passthrough()
  }),
  Schema.decodeTo(LogLevels)
)

const SettingsSchema = Schema.Struct({
  lottery: withDefault(
    Schema.Struct({
      agencies: withDefault(Roster, 5),
      winningNumber: withDefault(
        integer(0, 9999).pipe(Schema.decodeTo(WinningNumber)),
        7574
      ),
      exitWhenServed: withDefault(Schema.Boolean, false)
    }),
    {}
  ),
  bets: listener(12345),
  consult: listener(12346),
  operations: withDefault(
    Schema.Struct({
      host: withDefault(Schema.NonEmptyString, "127.0.0.1"),
      port: withDefault(port, 12347)
    }),
    {}
  ),
  ledger: withDefault(
    Schema.Struct({
      path: withDefault(Schema.NonEmptyString, "data/ledger.sqlite"),
      groupChunksMax: bounded(1024, 1, 65536),
      groupBytesMax: bounded(8 * 1024 * 1024, 1024, 256 * 1024 * 1024),
      gatherMs: bounded(5, 0, 1000),
      retryFirstMs: bounded(50, 1, 60_000),
      retryMaxMs: bounded(5000, 1, 600_000)
    }),
    {}
  ),
  connections: withDefault(
    Schema.Struct({
      max: bounded(16_384, 1, 1_000_000),
      listenBacklog: bounded(4096, 1, 65_535),
      frameBytesMax: bounded(frameBytesDefault, 64, frameBytesCeiling),
      frameBudgetBytes: bounded(64 * 1024 * 1024, 64, 16 * 1024 * 1024 * 1024),
      roomWaitMs: bounded(5000, 10, 3_600_000),
      frameDeadlineMs: bounded(30_000, 10, 3_600_000),
      answerDeadlineMs: bounded(30_000, 10, 3_600_000),
      closeLingerMs: bounded(1000, 0, 60_000),
      keepAliveMs: bounded(60_000, 1000, 7_200_000)
    }),
    {}
  ),
  workers: bounded(16, 1, 1024),
  parsers: withDefault(
    Schema.Struct({
      processes: bounded(2, 1, 64),
      memoryMb: bounded(256, 128, 16_384),
      chunkDeadlineMs: bounded(10_000, 50, 600_000),
      restartFirstMs: bounded(100, 1, 60_000),
      restartMaxMs: bounded(5000, 1, 600_000)
    }),
    {}
  ),
  consults: withDefault(
    Schema.Struct({ retryAfterMs: bounded(1000, 1, 600_000) }),
    {}
  ),
  shutdown: withDefault(Schema.Struct({ graceMs: bounded(8000, 100, 600_000) }), {}),
  log: withDefault(
    Schema.Struct({
      level: withDefault(LogLevel, "INFO"),
      format: withDefault(Schema.Literals(["text", "json"]), "text"),
      flushMs: bounded(20, 0, 10_000)
    }),
    {}
  )
})

export type SettingsShape = typeof SettingsSchema.Type

export class Settings extends Context.Service<Settings, SettingsShape>()(
  "loteria-nacional/services/Settings"
) {
  static readonly layer = (path: string, environment: Environment) =>
    Layer.effect(Settings, loadSettings(path, environment))
}

export type Environment = Readonly<Record<string, string | undefined>>

/** The environment variables that deployments set, and the keys they override. */
export const environmentKeys = {
  SERVER_PORT: ["bets", "port"],
  CONSULT_SERVER_PORT: ["consult", "port"],
  OPS_PORT: ["operations", "port"],
  SERVER_LISTEN_BACKLOG: ["connections", "listenBacklog"],
  LOGGING_LEVEL: ["log", "level"],
  LEDGER_PATH: ["ledger", "path"],
  AGENCIES: ["lottery", "agencies"]
} as const

type Tree = { readonly [key: string]: unknown }

const isTree = (value: unknown): value is Tree =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const withOverride = (tree: unknown, path: ReadonlyArray<string>, value: unknown): unknown => {
  const [key, ...rest] = path
  if (key === undefined) return value
  return {
    ...(isTree(tree) ? tree : {}),
    [key]: withOverride(isTree(tree) ? tree[key] : {}, rest, value)
  }
}

/** An environment variable is text; where it reads as a number it is one. Empty counts as not set. */
const environmentValue = (text: string): unknown => /^-?\d+$/.test(text) ? Number(text) : text

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

const problemsOf = (issue: SchemaIssue.Issue, environment: Environment): ReadonlyArray<string> =>
  formatIssue(issue).issues.map(({ message, path }) => {
    const keys = (path ?? []).map((part) => String(typeof part === "object" ? part.key : part))
    const variable = Object.entries(environmentKeys).find(([name, override]) =>
      environment[name] !== undefined && environment[name] !== ""
      && override.join(".") === keys.join(".")
    )
    const place = variable === undefined
      ? keys.join(".") || "the file"
      : `environment variable ${variable[0]}`
    return `${place}: ${message}`
  })

/** Relations between settings that no single value can break. */
const relationProblems = (settings: SettingsShape): ReadonlyArray<string> => [
  ...(settings.connections.frameBudgetBytes < settings.connections.frameBytesMax
    ? ["connections.frameBudgetBytes: expected at least connections.frameBytesMax"]
    : []),
  ...(settings.ledger.retryMaxMs < settings.ledger.retryFirstMs
    ? ["ledger.retryMaxMs: expected at least ledger.retryFirstMs"]
    : []),
  ...(settings.parsers.restartMaxMs < settings.parsers.restartFirstMs
    ? ["parsers.restartMaxMs: expected at least parsers.restartFirstMs"]
    : [])
]

/** Decodes a configuration that was read; `path` is for messages. */
export const decodeSettings = (
  path: string,
  tree: unknown,
  environment: Environment
): Effect.Effect<SettingsShape, SettingsError> => {
  const overridden = Object.entries(environmentKeys).reduce<unknown>((current, [name, keys]) => {
    const text = environment[name]
    return text === undefined || text === ""
      ? current
      : withOverride(current, keys, environmentValue(text))
  }, tree ?? {})
  const decoded = Schema.decodeUnknownResult(SettingsSchema)(overridden, {
    errors: "all",
    onExcessProperty: "error"
  })
  if (Result.isFailure(decoded)) {
    return Effect.fail(
      new SettingsError({ path, problems: problemsOf(decoded.failure.issue, environment) })
    )
  }
  const problems = relationProblems(decoded.success)
  if (problems.length > 0) return Effect.fail(new SettingsError({ path, problems }))
  const settings = decoded.success
  return Effect.succeed({
    ...settings,
    connections: {
      ...settings.connections,
      listenBacklog: Math.max(settings.connections.listenBacklog, listenBacklogMin)
    }
  })
}

/** Reads and decodes a configuration file. */
export const loadSettings = Effect.fnUntraced(
  function*(
    path: string,
    environment: Environment
  ): Effect.fn.Return<SettingsShape, SettingsError> {
    const text = yield* Effect.tryPromise({
      try: () => readFile(path, "utf8"),
      catch: () =>
        new SettingsError({
          path,
          problems: ["can't be read; name the configuration file with --config"]
        })
    })
    const tree = yield* Effect.try({
      try: () => load(text),
      catch: (cause) =>
        new SettingsError({
          path,
          problems: [`not YAML: ${cause instanceof Error ? cause.message.split("\n")[0] : "?"}`]
        })
    })
    return yield* decodeSettings(path, tree, environment)
  }
)
