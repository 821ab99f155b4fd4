/**
 * Where the settings say that the ledger is: an SQLite file, or a PostgreSQL database and its password. A source that names
 * both is refused; a variable that names one takes the place of what the file names.
 */
import { Effect, Redacted, Result, Schema, SchemaGetter } from "effect"
import { readFile } from "node:fs/promises"
import { isPostgresUrl, parsePostgresUrl, PostgresUrl, showPostgresUrl } from "./PostgresUrl.ts"
import type { Environment } from "./Settings.ts"
import { isTree, valueAt } from "./SettingsProblems.ts"
import { systemReason } from "./SystemReason.ts"

/** What is wrong with it, in words without its text, which may hold a password. */
const problemOfUrl = (text: string): string | undefined =>
  Result.match(parsePostgresUrl(text), {
    onFailure: (problem) => problem,
    onSuccess: () => undefined
  })

const notText = { message: "a URL in quotes" }

export const LedgerUrl = Schema.String.annotate(notText)
  .check(Schema.makeFilter(problemOfUrl))
  .pipe(Schema.decodeTo(Schema.toType(PostgresUrl), {
    decode: SchemaGetter.transform((text) => Result.getOrThrow(parsePostgresUrl(text))),
    encode: SchemaGetter.forbidden(() => "a URL is never written")
  }))

const pathMessage = "the path of a file"
const urlMessage = "the path of a file; a URL belongs into ledger.url, or the variable LEDGER_URL"

export const LedgerPath = Schema.String.annotate({ message: pathMessage }).check(
  Schema.makeFilter((path: string) =>
    path === "" ? pathMessage : isPostgresUrl(path) ? urlMessage : undefined
  )
)

/** What the ledger is called in the log and in messages: the file's path, or the URL without its password. */
export const ledgerName = (
  { path, url }: { readonly path: string; readonly url?: PostgresUrl }
): string => url === undefined ? path : showPostgresUrl(url)

const isSet = (value: string | undefined): value is string => value !== undefined && value !== ""

/** The file's tree without the home that a variable replaces. */
export const withoutReplacedHome = (tree: unknown, environment: Environment): unknown => {
  const ledger = valueAt(tree, ["ledger"])
  if (!isTree(tree) || !isTree(ledger)) return tree
  const replaced = isSet(environment["LEDGER_URL"])
    ? "path"
    : isSet(environment["LEDGER_PATH"])
    ? "url"
    : undefined
  return {
    ...tree,
    ledger: Object.fromEntries(Object.entries(ledger).filter(([key]) => key !== replaced))
  }
}

/** A source that names more than one home, or a password that nothing asks for. */
export const homeProblems = (
  file: unknown,
  environment: Environment
): ReadonlyArray<string> => {
  const [path, url] = [valueAt(file, ["ledger", "path"]), valueAt(file, ["ledger", "url"])]
  const set = (name: string) => isSet(environment[name])
  const passwords = ["LEDGER_PASSWORD", "LEDGER_PASSWORD_FILE"].filter(set)
  return [
    ...(path !== undefined && url !== undefined
      ? [
        "ledger.path and ledger.url are both set; remove ledger.path to keep the ledger in PostgreSQL, or ledger.url to "
        + "keep it in the file"
      ]
      : []),
    ...(set("LEDGER_PATH") && set("LEDGER_URL")
      ? [
        "environment variables LEDGER_PATH and LEDGER_URL are both set; unset LEDGER_PATH to keep the ledger in "
        + "PostgreSQL, or LEDGER_URL to keep it in the file"
      ]
      : []),
    ...(passwords.length > 1
      ? [
        "environment variables LEDGER_PASSWORD and LEDGER_PASSWORD_FILE are both set; unset one of them"
      ]
      : []),
    ...(passwords.length > 0 && url === undefined && !set("LEDGER_URL")
      ? [
        `environment variable ${
          passwords[0]
        } is set, but no URL that it belongs to; set ledger.url or LEDGER_URL, or `
        + "unset it"
      ]
      : [])
  ]
}

/**
 * The URL with the password of the variables, if they have one: it takes the place of the URL's. Fails with what is wrong.
 */
export const withPassword = Effect.fnUntraced(function*(
  url: PostgresUrl,
  environment: Environment
): Effect.fn.Return<PostgresUrl, string> {
  const { LEDGER_PASSWORD: password, LEDGER_PASSWORD_FILE: file } = environment
  if (isSet(password)) return { ...url, password: Redacted.make(password) }
  if (!isSet(file)) return url
  const content = yield* Effect.tryPromise({
    try: () => readFile(file, "utf8"),
    catch: (cause) => `environment variable LEDGER_PASSWORD_FILE: ${file}: ${systemReason(cause)}`
  })
  const line = content.replace(/\r?\n$/, "")
  return line === ""
    ? yield* Effect.fail(`environment variable LEDGER_PASSWORD_FILE: ${file}: is empty`)
    : { ...url, password: Redacted.make(line) }
})
