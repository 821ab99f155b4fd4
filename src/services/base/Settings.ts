/**
 * The server's configuration: config.yaml, overridden by environment variables, decoded by Schema. Every configurable
 * bound is here with its default. Unknown keys and wrong values are refused, each with its path (or its environment
 * variable), its value and the allowed values. A wrong value in the file is refused even if a variable overrides it: an
 * error there may hide others.
 */
import {
  Context,
  Effect,
  Option,
  Result,
  Runtime,
  Schema,
  SchemaAST,
  SchemaGetter,
  SchemaIssue
} from "effect"
import { loadAll } from "js-yaml"
import { readFile } from "node:fs/promises"
import { AgencyId, formatRoster, parseRoster } from "../../domain/Agency.ts"
import { numberMax } from "../../domain/BetRules.ts"
import { DrawName, WinningNumber } from "../../domain/Draw.ts"
import {
  agenciesCeiling,
  frameBytesCeiling,
  frameBytesDefault,
  graceKeptMs,
  listenBacklogMin,
  parserMemoryMb
} from "../../domain/Limits.ts"
import { ExitCode } from "./ExitCode.ts"
import {
  homeProblems,
  LedgerPath,
  LedgerUrl,
  withoutReplacedHome,
  withPassword
} from "./LedgerSettings.ts"
import { logLevels } from "./LogLevel.ts"
import { isTree, type KnownKeys, unknownKey, valueAt, wrongValue } from "./SettingsProblems.ts"

/** The configuration cannot be used. `message` says where it is wrong and what is allowed there. */
export class SettingsError extends Schema.TaggedError<SettingsError>()("SettingsError", {
  path: Schema.String,
  problems: Schema.Array(Schema.String),
  /** The configured format of the log, if it could be read: the error is logged in it. */
  logFormat: Schema.optionalKey(Schema.Literals(["text", "json"]))
}) {
  override readonly [Runtime.errorExitCode] = ExitCode.wrongConfiguration
  override get message(): string {
    return `${this.path}: ${this.problems.join("; ")}`
  }
}

const withDefault = <S extends Schema.Constraint>(schema: S, value: S["Encoded"]) =>
  Schema.withDecodingDefaultKey<S>(Effect.succeed(value))(schema)

/** The allowed values, in words: the `message` of everything that can be wrong with a value of the schema. */
const allowed = (message: string) => ({ message })

const integer = (minimum: number, maximum: number) => {
  const message = allowed(`an integer from ${minimum} to ${maximum}`)
  return Schema.Number.annotate(message).check(
    Schema.makeFilter(
      (value: number) => Number.isInteger(value) && value >= minimum && value <= maximum,
      message
    )
  )
}

const boolean = Schema.Boolean.annotate(allowed("true or false"))

const text = (message: string) =>
  Schema.String.annotate(allowed(message)).check(
    Schema.makeFilter((value: string) => value !== "", allowed(message))
  )

const host = text("the name or address of one of this machine's interfaces")

const bounded = (fallback: number, minimum: number, maximum: number) =>
  withDefault(integer(minimum, maximum), fallback)

const readRoster = (notation: number | string) =>
  parseRoster(String(notation).replaceAll(" ", ""), agenciesCeiling)

const rosterMessage = allowed(
  `a number of agencies (5 means 1 to 5) or their ids ("3,5" or "3,"), at most ${agenciesCeiling}`
)

const RosterNotation = Schema.Union([Schema.Finite, Schema.String]).annotate(rosterMessage).check(
  Schema.makeFilter((notation) => Option.isSome(readRoster(notation)), rosterMessage)
)

const Roster = RosterNotation.pipe(
  Schema.decodeTo(Schema.Array(Schema.toType(AgencyId)), {
    decode: SchemaGetter.transform((notation) => Option.getOrElse(readRoster(notation), () => [])),
    encode: SchemaGetter.transform((roster) => formatRoster(roster))
  })
)

const drawMessage = allowed(
  "a name in quotes: 1 to 64 letters, digits, dots, underscores and hyphens, of which the first is a letter or a digit"
)

/** YAML reads an unquoted `2026-11-24` as a date and `0815` as a number, so only text is accepted. */
const Draw = Schema.String.annotate(drawMessage)
  .check(Schema.makeFilter((value: string) => Schema.is(DrawName)(value), drawMessage))
  .pipe(Schema.decodeTo(DrawName))

const port = integer(0, 65535)

/** Without a host it listens on every interface, IPv6 and IPv4. */
const listener = (fallbackPort: number) =>
  withDefault(
    Schema.Struct({
      host: Schema.optionalKey(host),
      port: withDefault(port, fallbackPort)
    }),
    {}
  )

const levelMessage = allowed(`one of ${logLevels.join(", ")}`)
const LogLevels = Schema.Literals(logLevels).annotate(levelMessage)

const LogLevel = Schema.String.annotate(levelMessage).pipe(
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
        integer(0, numberMax).pipe(Schema.decodeTo(WinningNumber)),
        7574
      ),
      draw: Schema.optionalKey(Draw),
      exitWhenServed: withDefault(boolean, false)
    }),
    {}
  ),
  bets: listener(12345),
  consult: listener(12346),
  operations: withDefault(
    Schema.Struct({
      host: withDefault(host, "127.0.0.1"),
      port: withDefault(port, 12347)
    }),
    {}
  ),
  ledger: withDefault(
    Schema.Struct({
      path: withDefault(LedgerPath, "data/ledger.sqlite"),
      /** The ledger is in this database instead of in `path`. */
      url: Schema.optionalKey(LedgerUrl),
      groupChunksMax: bounded(1024, 1, 65536),
      groupBytesMax: bounded(8 * 1024 * 1024, 1024, 256 * 1024 * 1024),
      gatherMs: bounded(5, 0, 1000),
      snapshotChunks: bounded(4096, 1, 1_000_000),
      retryFirstMs: bounded(50, 1, 60_000),
      retryMaxMs: bounded(5000, 1, 600_000),
      postgres: withDefault(
        Schema.Struct({
          groupsMax: bounded(2, 1, 4),
          pollMs: bounded(1000, 10, 60_000),
          connectDeadlineMs: bounded(5000, 100, 600_000),
          claimLockMs: bounded(2000, 10, 60_000),
          answerDeadlineMs: bounded(5000, 100, 600_000)
        }),
        {}
      )
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
      memoryMb: bounded(384, 128, 16_384),
      startDeadlineMs: bounded(10_000, 1000, 600_000),
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
      format: withDefault(
        Schema.Literals(["text", "json"]).annotate(allowed("text or json")),
        "text"
      ),
      flushMs: bounded(20, 0, 10_000),
      unreadBytesMax: bounded(4 * 1024 * 1024, 64 * 1024, 1024 * 1024 * 1024)
    }),
    {}
  )
})

export type SettingsShape = typeof SettingsSchema.Type

export class Settings extends Context.Service<Settings, SettingsShape>()(
  "loteria-nacional/services/base/Settings"
) {}

export type Environment = Readonly<Record<string, string | undefined>>

/** The environment variables that deployments use, and the keys that they override. */
export const environmentKeys = {
  SERVER_PORT: ["bets", "port"],
  CONSULT_SERVER_PORT: ["consult", "port"],
  OPS_HOST: ["operations", "host"],
  OPS_PORT: ["operations", "port"],
  SERVER_LISTEN_BACKLOG: ["connections", "listenBacklog"],
  LOGGING_LEVEL: ["log", "level"],
  LOG_FORMAT: ["log", "format"],
  LEDGER_PATH: ["ledger", "path"],
  LEDGER_URL: ["ledger", "url"],
  AGENCIES: ["lottery", "agencies"],
  DRAW: ["lottery", "draw"]
} as const

const withOverride = (tree: unknown, path: ReadonlyArray<string>, value: unknown): unknown => {
  const [key, ...rest] = path
  if (key === undefined) return value
  return {
    ...(isTree(tree) ? tree : {}),
    [key]: withOverride(isTree(tree) ? tree[key] : {}, rest, value)
  }
}

/** The value of a variable: a number if it reads as one and is not a name. */
const environmentValue = (name: string, value: string): unknown =>
  name !== "DRAW" && /^-?\d+$/.test(value) ? Number(value) : value

const withVariables = (tree: unknown, environment: Environment): unknown =>
  Object.entries(environmentKeys).reduce<unknown>((current, [name, keys]) => {
    const value = environment[name]
    return value === undefined || value === ""
      ? current
      : withOverride(current, keys, environmentValue(name, value))
  }, withoutReplacedHome(tree, environment))

const knownKeysOf = (ast: SchemaAST.AST): KnownKeys | undefined =>
  SchemaAST.isObjects(ast)
    ? Object.fromEntries(
      ast.propertySignatures.map(({ name, type }) => [String(name), knownKeysOf(type)])
    )
    : undefined

const knownKeys = knownKeysOf(SchemaAST.toEncoded(SettingsSchema.ast)) ?? {}

/** A section whose keys are all commented out is null in YAML; it counts as absent. */
const withoutEmptySections = (tree: unknown, known: KnownKeys = knownKeys): unknown =>
  isTree(tree)
    ? Object.fromEntries(
      Object.entries(tree)
        .filter(([key, value]) => value !== null || known[key] === undefined)
        .map(([key, value]) => {
          const section = known[key]
          return [key, section === undefined ? value : withoutEmptySections(value, section)]
        })
    )
    : tree

const isUnknownKey = "an unknown key"

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) =>
    issue._tag === "UnexpectedKey" ? isUnknownKey : SchemaIssue.defaultLeafHook(issue)
})

/** `placeOf` names the source of a key's value. */
const decode = (
  tree: unknown,
  placeOf: (keys: ReadonlyArray<string>) => string
): Result.Result<SettingsShape, ReadonlyArray<string>> =>
  Schema.decodeUnknownResult(SettingsSchema)(tree, {
    errors: "all",
    onExcessProperty: "error"
  }).pipe(
    Result.mapError(({ issue }) =>
      formatIssue(issue).issues.map(({ message, path }) => {
        const keys = (path ?? []).map((part) => String(typeof part === "object" ? part.key : part))
        return message === isUnknownKey
          ? unknownKey(knownKeys, keys)
          : wrongValue(knownKeys, tree, keys, message, placeOf(keys))
      })
    )
  )

const placeInFile = (keys: ReadonlyArray<string>): string => keys.join(".") || "the file"

const placeOfVariable = (keys: ReadonlyArray<string>): string => {
  const variable = Object.entries(environmentKeys).find(([, key]) =>
    key.join(".") === keys.join(".")
  )
  return `environment variable ${variable?.[0] ?? keys.join(".")}`
}

const doors = ["bets", "consult", "operations"] as const

/** An absent host, `0.0.0.0` and `::` mean every interface. */
const meetsHost = (one: string | undefined, other: string | undefined): boolean => {
  const [first, second] = [one, other].map((name) => name === "localhost" ? "127.0.0.1" : name)
  const everywhere = new Set([undefined, "0.0.0.0", "::"])
  return first === second || everywhere.has(first) || everywhere.has(second)
}

const portProblems = (settings: SettingsShape): ReadonlyArray<string> =>
  doors.flatMap((door, index) =>
    doors.slice(index + 1).flatMap((other) => {
      const [one, two] = [settings[door], settings[other]]
      return one.port !== 0 && one.port === two.port && meetsHost(one.host, two.host)
        ? [`${door}.port and ${other}.port are both ${one.port}, but must differ`]
        : []
    })
  )

const atLeast = (
  settings: SettingsShape,
  larger: readonly [string, string],
  smaller: readonly [string, string]
): ReadonlyArray<string> => {
  const [more, less] = [Number(valueAt(settings, larger)), Number(valueAt(settings, smaller))]
  return more < less
    ? [
      `${larger.join(".")} is ${more}, but must be at least ${smaller.join(".")}, which is ${less}`
    ]
    : []
}

/** A parser must survive the most expensive message of the maximum length. */
const parserMemoryProblems = (
  { connections: { frameBytesMax }, parsers: { memoryMb } }: SettingsShape
): ReadonlyArray<string> => {
  const { base, perFrameMebibyte } = parserMemoryMb
  const needed = base + Math.ceil(perFrameMebibyte * frameBytesMax / (1024 * 1024))
  return memoryMb >= needed ? [] : [
    `parsers.memoryMb: expected at least ${needed} for messages of ${frameBytesMax} bytes `
    + `(${base}, and ${perFrameMebibyte} for each MiB of connections.frameBytesMax), not ${memoryMb}`
  ]
}

/** A commit that PostgreSQL doesn't answer is given up before the server's time to end is over. */
const answerProblems = (
  { ledger: { postgres: { answerDeadlineMs }, url }, shutdown: { graceMs } }: SettingsShape
): ReadonlyArray<string> =>
  url === undefined || graceMs >= answerDeadlineMs + graceKeptMs ? [] : [
    `shutdown.graceMs is ${graceMs}, but must be at least ${
      answerDeadlineMs + graceKeptMs
    }: ${graceKeptMs} more than `
    + "ledger.postgres.answerDeadlineMs, so that a transaction in progress ends, or counts as in doubt, before the server does"
  ]

/** Relations that must hold between settings. */
const relationProblems = (settings: SettingsShape): ReadonlyArray<string> => [
  ...portProblems(settings),
  ...atLeast(settings, ["connections", "frameBudgetBytes"], ["connections", "frameBytesMax"]),
  ...parserMemoryProblems(settings),
  ...answerProblems(settings),
  ...atLeast(settings, ["ledger", "retryMaxMs"], ["ledger", "retryFirstMs"]),
  ...atLeast(settings, ["parsers", "restartMaxMs"], ["parsers", "restartFirstMs"])
]

/** Decodes the content of a configuration file; `path` is for messages. */
export const decodeSettings = (
  path: string,
  tree: unknown,
  environment: Environment
): Effect.Effect<SettingsShape, SettingsError> => {
  const file = withoutEmptySections(tree ?? {})
  const logFormat = valueAt(file, ["log", "format"]) === "json" ? "json" : "text"
  const refuse = (problems: ReadonlyArray<string>) =>
    Effect.fail(new SettingsError({ path, problems, logFormat }))
  const problemsOf = Result.match({
    onFailure: (problems: ReadonlyArray<string>) => problems,
    onSuccess: () => []
  })
  // File and variables are checked separately, so that a variable never hides an error in the file.
  const wrong = [
    ...homeProblems(file, environment),
    ...problemsOf(decode(file, placeInFile)),
    ...problemsOf(decode(withVariables({}, environment), placeOfVariable))
  ]
  if (wrong.length > 0) return refuse(wrong)
  const decoded = decode(withVariables(file, environment), placeInFile)
  if (Result.isFailure(decoded)) return refuse(decoded.failure)
  const problems = relationProblems(decoded.success)
  if (problems.length > 0) return refuse(problems)
  const settings = decoded.success
  return Effect.map(
    Effect.catch(
      settings.ledger.url === undefined
        ? Effect.undefined
        : withPassword(settings.ledger.url, environment),
      (problem) => refuse([problem])
    ),
    (url) => ({
      ...settings,
      connections: {
        ...settings.connections,
        listenBacklog: Math.max(settings.connections.listenBacklog, listenBacklogMin)
      },
      ledger: url === undefined ? settings.ledger : { ...settings.ledger, url }
    })
  )
}

/** Reads and decodes a configuration file. */
export const loadSettings = Effect.fnUntraced(
  function*(
    path: string,
    environment: Environment
  ): Effect.fn.Return<SettingsShape, SettingsError> {
    const content = yield* Effect.tryPromise({
      try: () => readFile(path, "utf8"),
      catch: () =>
        new SettingsError({
          path,
          problems: ["can't be read; name the configuration file with --config"]
        })
    })
    const documents = yield* Effect.try({
      try: () => loadAll(content),
      catch: (cause) =>
        new SettingsError({
          path,
          problems: [`not YAML: ${cause instanceof Error ? cause.message.split("\n")[0] : "?"}`]
        })
    })
    if (documents.length > 1) {
      const problems = ["holds several YAML documents; remove the lines that are only ---"]
      return yield* new SettingsError({ path, problems })
    }
    // A file that holds only comments has no document: every key has its default.
    return yield* decodeSettings(path, documents[0], environment)
  }
)
