/** The configuration that a command reads, and the ledger that it names. */
import { Effect, Option, Result, Runtime, Schema } from "effect"
import { Flag } from "effect/cli"
import type { LedgerAddress } from "../services/admin/LedgerAddress.ts"
import { ExitCode } from "../services/base/ExitCode.ts"

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

/** A ledger: by its path or URL, or the one that the configuration names. */
export const ledgerFlags = {
  ledger: Flag.String("ledger").pipe(
    Flag.optional,
    Flag.withDescription(
      "The ledger: a file, or the URL of a PostgreSQL database (postgres://…), whose password belongs in LEDGER_PASSWORD or "
        + "the file LEDGER_PASSWORD_FILE, since every user of the machine can see a command line; by default the one in the "
        + "configuration, LEDGER_URL or LEDGER_PATH"
    )
  ),
  config: configFlag("The configuration that names the ledger")
}

/** For reports: the flags of {@link ledgerFlags}, and which lottery of a database. */
export const reportFlags = {
  ...ledgerFlags,
  draw: Flag.String("draw").pipe(
    Flag.optional,
    Flag.withDescription(
      "Which of a database's draws, by its name; by default the configuration's, or the one that began last"
    )
  )
}

/** A flag's value can't be used. A URL is not shown: it may hold a password. */
export class WrongFlag extends Schema.TaggedError<WrongFlag>()("WrongFlag", {
  flag: Schema.String,
  problem: Schema.String
}) {
  override readonly [Runtime.errorExitCode] = ExitCode.wrongUsage
  override get message(): string {
    return `${this.flag}: ${this.problem}`
  }
}

/** The database of a flag's text. A URL without a password takes that of the environment. */
export const readDatabase = Effect.fnUntraced(function*(flag: string, text: string) {
  const wrong = (problem: string) => new WrongFlag({ flag, problem })
  const { parsePostgresUrl } = yield* Effect.promise(() =>
    import("../services/base/PostgresUrl.ts")
  )
  const url = yield* Effect.fromResult(Result.mapError(parsePostgresUrl(text), wrong))
  if (url.password !== undefined) return url
  const { withPassword } = yield* Effect.promise(() => import("../services/base/LedgerSettings.ts"))
  return yield* Effect.mapError(withPassword(url, process.env), wrong)
})

/** The ledger of a flag's text. */
export const readAddress = Effect.fnUntraced(function*(
  flag: string,
  text: string,
  draw?: string
) {
  const { isPostgresUrl } = yield* Effect.promise(() => import("../services/base/PostgresUrl.ts"))
  if (isPostgresUrl(text)) return { url: yield* readDatabase(flag, text), draw }
  if (draw === undefined) return text
  return yield* new WrongFlag({
    flag: "--draw",
    problem: `chooses a lottery of a database, and ${text} is a file, which holds one; leave it out`
  })
})

/** The ledger, from the flags of {@link ledgerFlags} or {@link reportFlags}. */
export const ledgerAddress = Effect.fnUntraced(function*(flags: {
  readonly ledger: Option.Option<string>
  readonly config: string
  readonly draw?: Option.Option<string>
}) {
  const draw = Option.getOrUndefined(flags.draw ?? Option.none())
  if (Option.isSome(flags.ledger)) {
    return yield* readAddress("--ledger", flags.ledger.value, draw)
  }
  const { ledger: { path, url }, lottery } = yield* loadConfiguration(flags.config)
  const address: LedgerAddress = url === undefined
    ? yield* readAddress("ledger.path", path, draw)
    : { url, draw: draw ?? lottery.draw }
  return address
})

/** The ledger's file that a central on this machine would use, also when the configuration cannot be read. */
export const configuredLedger = (config: string): Effect.Effect<string> =>
  loadConfiguration(config).pipe(
    Effect.map(({ ledger }) => ledger.path),
    Effect.orElseSucceed(() => process.env["LEDGER_PATH"] || "data/ledger.sqlite")
  )
