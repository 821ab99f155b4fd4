/**
 * The address of a PostgreSQL database, as libpq's URLs write it: `postgres://USER:PASSWORD@HOST:5432/DATABASE`. What isn't
 * understood is refused, and whether the connection is encrypted has to be said: bets hold names and documents. No problem
 * and no shown URL holds the password.
 */
import { Redacted, Result, Schema } from "effect"

/** libpq's modes, without those that take what they get: `require` encrypts, but doesn't know who answers. */
const tlsModes = ["disable", "require", "verify-ca", "verify-full"] as const

export const PostgresUrl = Schema.Struct({
  /** A name or address, or the folder of a Unix socket. */
  host: Schema.String,
  port: Schema.Int,
  database: Schema.String,
  user: Schema.String,
  password: Schema.optionalKey(Schema.Redacted(Schema.String)),
  tls: Schema.Literals(tlsModes),
  /** The certificates that the server's is checked against, in PEM; without it those that Node knows. */
  caFile: Schema.optionalKey(Schema.String)
})
export type PostgresUrl = typeof PostgresUrl.Type

const form = "postgres://USER@HOST:5432/DATABASE"
const portDefault = 5432
const parameterNames = ["sslmode", "sslrootcert"]

/** Whether the text is meant as the URL of a PostgreSQL database, and not as the path of a file. */
export const isPostgresUrl = (text: string): boolean => /^\s*postgres(?:ql)?:/i.test(text)

/** Fails with what is wrong, in words that hold nothing of the text. The folder of a socket is a host with %2F for /. */
export const parsePostgresUrl = (text: string): Result.Result<PostgresUrl, string> => {
  const problem = problemOfText(text)
  if (problem !== undefined) return Result.fail(problem)
  const url = new URL(text)
  const sslmode = url.searchParams.get("sslmode")
  const host = decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, "$1")
  const tls = tlsModes.find((mode) => mode === sslmode) ?? (isLocal(host) ? "disable" : undefined)
  const caFile = url.searchParams.get("sslrootcert")
  const parsed = {
    host,
    port: url.port === "" ? portDefault : Number(url.port),
    database: decodeURIComponent(url.pathname.slice(1)),
    user: decodeURIComponent(url.username),
    ...(url.password === ""
      ? {}
      : { password: Redacted.make(decodeURIComponent(url.password)) }),
    ...(caFile === null ? {} : { caFile })
  }
  return tls === undefined
    ? Result.fail(
      "it leaves open whether the connection is encrypted; add ?sslmode=verify-full, or ?sslmode=disable in a closed network"
    )
    : check({ ...parsed, tls }, sslmode)
}

const isLocal = (host: string): boolean =>
  host.startsWith("/") || ["localhost", "::1"].includes(host) || /^127\.\d+\.\d+\.\d+$/.test(host)

const problemOfText = (text: string): string | undefined => {
  if (!isPostgresUrl(text)) return `it doesn't begin with postgres://; write ${form}`
  if (!URL.canParse(text)) {
    return `it is not a URL with one host; write ${form}, and in a password %2F for /, %40 for @, %3A for :, %25 for %`
  }
  const { searchParams, username, password, pathname, hostname, hash } = new URL(text)
  if (hash !== "") return "it has a part after #; in a password, write %23 for #"
  const encoded = [username, password, pathname, hostname]
  if (encoded.some((part) => !isEncoded(part))) return "it has a % that begins no code; write %25"
  const names = [...searchParams.keys()]
  if (names.some((name) => !parameterNames.includes(name))) {
    return `it has a parameter other than ${
      parameterNames.join(" and ")
    }; in a password, write %3F for ?`
  }
  return new Set(names).size < names.length ? "it has a parameter twice" : undefined
}

const isEncoded = (part: string): boolean => !/%(?![0-9a-f]{2})/i.test(part) && isUtf8(part)

const isUtf8 = (part: string): boolean => {
  try {
    decodeURIComponent(part)
    return true
  } catch {
    return false
  }
}

const check = (
  url: PostgresUrl,
  sslmode: string | null
): Result.Result<PostgresUrl, string> => {
  const { caFile, database, host, tls, user } = url
  if (host === "") return Result.fail(`it names no host; write ${form}`)
  if (user === "") return Result.fail(`it names no user; write ${form}`)
  if (database === "") return Result.fail(`it names no database; write ${form}`)
  if (sslmode !== null && sslmode !== tls) {
    return Result.fail(`its sslmode must be one of ${tlsModes.join(", ")}`)
  }
  if (tls !== "disable" && host.startsWith("/")) {
    return Result.fail("it has an sslmode, but a Unix socket is not encrypted")
  }
  if (caFile !== undefined && !tls.startsWith("verify")) {
    return Result.fail("it has an sslrootcert, which only sslmode=verify-full and verify-ca use")
  }
  return Result.succeed(url)
}

/** The URL without its password. */
export const showPostgresUrl = (
  { caFile, database, host, port, tls, user }: PostgresUrl
): string => {
  const name = encodeURIComponent
  const shownHost = host.includes(":") ? `[${host}]` : name(host)
  const parameters = new URLSearchParams({
    ...(isLocal(host) && tls === "disable" ? {} : { sslmode: tls }),
    ...(caFile === undefined ? {} : { sslrootcert: caFile })
  })
  const shownParameters = parameters.size === 0 ? "" : `?${parameters.toString()}`
  return `postgres://${name(user)}@${shownHost}:${port}/${name(database)}${shownParameters}`
}
