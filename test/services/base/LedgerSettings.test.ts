import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { inspect } from "node:util"
import { showPostgresUrl } from "../../../src/services/base/PostgresUrl.ts"
import { decodeSettings, type SettingsError } from "../../../src/services/base/Settings.ts"

type Variables = Readonly<Record<string, string>>

const ledgerOf = (ledger: unknown, environment: Variables = {}) =>
  Effect.map(decodeSettings("config.yaml", { ledger }, environment), (settings) => settings.ledger)

const problems = (ledger: unknown, environment: Variables = {}) =>
  ledgerOf(ledger, environment).pipe(
    Effect.flip,
    Effect.map((error: SettingsError) => error.problems.join("\n"))
  )

const passwordOf = (ledger: unknown, environment: Variables = {}) =>
  Effect.map(
    ledgerOf(ledger, environment),
    ({ url }) => url?.password === undefined ? undefined : Redacted.value(url.password)
  )

const local = "postgres://loteria@127.0.0.1/lottery"

describe("ledger.url", () => {
  it.effect("is the address of a database: user, host, port, name, TLS", () =>
    Effect.gen(function*() {
      const { url } = yield* ledgerOf({
        url:
          "postgresql://lo%74eria@db.example/the%20lottery?sslmode=verify-ca&sslrootcert=/etc/ca.pem"
      })
      assert.deepEqual(url, {
        host: "db.example",
        port: 5432,
        database: "the lottery",
        user: "loteria",
        tls: "verify-ca",
        caFile: "/etc/ca.pem"
      })
    }))

  it.effect("is shown without its password, as a URL that reads as the same", () =>
    Effect.gen(function*() {
      for (
        const text of [
          "postgres://u@127.0.0.1:5433/lottery",
          "postgres://u@[::1]:5433/lottery",
          "postgres://u@localhost:5432/lottery?sslmode=verify-full",
          "postgres://u@%2Fvar%2Frun%2Fpostgresql:5432/lottery",
          "postgres://u@db.example:6000/a%20b?sslmode=require",
          "postgres://u@db.example:5432/lottery?sslmode=verify-ca&sslrootcert=%2Fetc%2Fca.pem"
        ]
      ) {
        const { url } = yield* ledgerOf({ url: text.replace("u@", "u:se%3Acret@") })
        assert.isDefined(url)
        assert.strictEqual(showPostgresUrl(url), text)
        assert.strictEqual(url.password && Redacted.value(url.password), "se:cret")
        assert.notInclude(inspect(url, { depth: 9 }) + JSON.stringify(url), "cret")
      }
    }))

  it.effect("must say whether it is encrypted, unless it stays on this machine", () =>
    Effect.gen(function*() {
      for (const host of ["127.0.0.1", "localhost", "[::1]", "127.8.0.1", "%2Frun%2Fpg"]) {
        const { url } = yield* ledgerOf({ url: `postgres://u@${host}/d` })
        assert.strictEqual(url?.tls, "disable", host)
      }
      const open = yield* problems({ url: "postgres://u@10.0.0.1/d" })
      assert.match(
        open,
        /^ledger\.url: .*encrypted; add \?sslmode=verify-full, or \?sslmode=disable/
      )
    }))

  it.effect("is refused with what is wrong with it, and without anything of it", () =>
    Effect.gen(function*() {
      for (
        const [url, problem] of [
          ["mysql://u:geheim@h/d", "it doesn't begin with postgres://; write postgres://USER@"],
          ["geheim", "it doesn't begin with postgres://"],
          ["", "it doesn't begin with postgres://"],
          ["postgres://u:ge/heim@h/d", "it is not a URL with one host; write"],
          ["postgres://u:geheim@h1:1,h2:2/d", "it is not a URL with one host"],
          ["postgres://u:1#geheim@h/d", "it has a part after #"],
          ["postgres://u:1?geheim@h/d", "it has a parameter other than sslmode and sslrootcert"],
          ["postgres://u:1/geheim@h/d", "leaves open whether the connection is encrypted"],
          ["postgres://u:geheim%@h/d", "it has a % that begins no code"],
          ["postgres://u:geheim%ff@h/d", "it has a % that begins no code"],
          ["postgres://:geheim@localhost/d", "it names no user"],
          ["postgres://u:geheim@localhost/", "it names no database"],
          ["postgres:///geheim", "leaves open whether the connection is encrypted"],
          ["postgres://u:geheim@localhost/d?sslmode=prefer", "its sslmode must be one of disable,"],
          ["postgres://u:geheim@%2Frun/d?sslmode=require", "a Unix socket is not encrypted"],
          ["postgres://u@localhost/d?sslrootcert=geheim", "which only sslmode=verify-full and"],
          ["postgres://u@h/d?sslmode=geheim&sslmode=require", "it has a parameter twice"]
        ] as const
      ) {
        const file = yield* problems({ url })
        assert.include(file, problem, url)
        assert.match(file, /^ledger\.url: /)
        assert.strictEqual(file.split("\n").length, 1, file)
        assert.notMatch(file, /geheim|heim/, url)
        if (url === "") continue
        const variable = yield* problems({}, { LEDGER_URL: url })
        assert.match(variable, /^environment variable LEDGER_URL: /)
        assert.notMatch(variable, /geheim|heim/, url)
      }
      assert.strictEqual(
        yield* problems({ url: 5 }),
        "ledger.url is 5, but must be a URL in quotes"
      )
    }))

  it.effect("in the place of anything else is refused, also without its text", () =>
    Effect.gen(function*() {
      const url = "postgres://u:geheim@h/d"
      const path = yield* problems({ path: url })
      assert.include(
        path,
        "ledger.path is a URL, but must be the path of a file; a URL belongs into"
      )
      const places = [
        path,
        yield* problems({}, { LEDGER_PATH: url }),
        yield* problems(url),
        yield* problems({ gatherMs: url }),
        yield* problems({}, { AGENCIES: url })
      ]
      assert.notInclude(places.join(), "geheim")
    }))
})

describe("the ledger's home", () => {
  it.effect("is one: a source that names both says which to remove for which", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* problems({ path: "a.sqlite", url: local }),
        "ledger.path and ledger.url are both set; remove ledger.path to keep the ledger in PostgreSQL, "
          + "or ledger.url to keep it in the file"
      )
      assert.strictEqual(
        yield* problems({}, { LEDGER_PATH: "a.sqlite", LEDGER_URL: local }),
        "environment variables LEDGER_PATH and LEDGER_URL are both set; unset LEDGER_PATH to keep the ledger "
          + "in PostgreSQL, or LEDGER_URL to keep it in the file"
      )
    }))

  it.effect("that a variable names takes the place of the one in the file", () =>
    Effect.gen(function*() {
      const database = yield* ledgerOf({ path: "a.sqlite" }, { LEDGER_URL: local })
      assert.strictEqual(database.url?.database, "lottery")
      const file = yield* ledgerOf({ url: local }, { LEDGER_PATH: "b.sqlite", LEDGER_URL: "" })
      assert.isUndefined(file.url)
      assert.strictEqual(file.path, "b.sqlite")
      const other = yield* ledgerOf({ url: local }, { LEDGER_URL: `${local}2` })
      assert.strictEqual(other.url?.database, "lottery2")
    }))
})

describe("the password", () => {
  it.effect("is the variable's, else the URL's, else none", () =>
    Effect.gen(function*() {
      const withPassword = "postgres://u:one@localhost/d"
      assert.strictEqual(yield* passwordOf({ url: withPassword }), "one")
      assert.strictEqual(
        yield* passwordOf({ url: withPassword }, { LEDGER_PASSWORD: "t/w@o" }),
        "t/w@o"
      )
      assert.isUndefined(yield* passwordOf({ url: local }, { LEDGER_PASSWORD: "" }))
    }))

  it.effect("is the content of a file, without the line's end", () =>
    Effect.gen(function*() {
      const folder = mkdtempSync(join(tmpdir(), "loteria-"))
      const file = join(folder, "password")
      try {
        for (
          const [content, password] of [
            ["geheim", "geheim"],
            ["geheim\n", "geheim"],
            ["geheim\r\n", "geheim"],
            [" ge heim \n\n", " ge heim \n"]
          ] as const
        ) {
          writeFileSync(file, content)
          assert.strictEqual(
            yield* passwordOf({ url: local }, { LEDGER_PASSWORD_FILE: file }),
            password
          )
        }
        writeFileSync(file, "\n")
        assert.strictEqual(
          yield* problems({ url: local }, { LEDGER_PASSWORD_FILE: file }),
          `environment variable LEDGER_PASSWORD_FILE: ${file}: is empty`
        )
      } finally {
        rmSync(folder, { recursive: true })
      }
      assert.strictEqual(
        yield* problems({}, { LEDGER_URL: local, LEDGER_PASSWORD_FILE: file }),
        `environment variable LEDGER_PASSWORD_FILE: ${file}: there is no such file or folder`
      )
    }))

  it.effect("comes from one variable, and belongs to a URL", () =>
    Effect.gen(function*() {
      const both = { LEDGER_PASSWORD: "geheim", LEDGER_PASSWORD_FILE: "file" }
      assert.strictEqual(
        yield* problems({ url: local }, both),
        "environment variables LEDGER_PASSWORD and LEDGER_PASSWORD_FILE are both set; unset one of them"
      )
      const alone = yield* problems({ path: "a.sqlite" }, { LEDGER_PASSWORD: "geheim" })
      assert.match(
        alone,
        /^environment variable LEDGER_PASSWORD is set, but no URL that it belongs to/
      )
      assert.notInclude(alone, "geheim")
      // The machine's password stays where one run is given a file.
      const { path } = yield* ledgerOf({ url: local }, {
        LEDGER_PATH: "b.sqlite",
        LEDGER_PASSWORD: "geheim"
      })
      assert.strictEqual(path, "b.sqlite")
    }))
})
