/** What errors of PostgreSQL mean: the code decides, and whether the connection lives on. */
import { assert, describe, it } from "@effect/vitest"
import { ConnectionError, SqlError, UnknownError } from "effect/sql/SqlError"
import {
  isDefect,
  isRolledBack,
  serverErrorOf
} from "../../../../src/services/ledger/postgres/SqlFailures.ts"

const said = (code: string, severity = "ERROR") =>
  new SqlError({
    reason: new UnknownError({
      cause: Object.assign(new Error("said"), {
        code,
        severity: severity === "ERROR" ? "FEHLER" : severity,
        severityUnlocalized: severity
      }),
      message: "",
      operation: "query"
    })
  })

const lost = new SqlError({
  reason: new ConnectionError({
    cause: Object.assign(new Error("connect"), { code: "ECONNREFUSED" }),
    message: "",
    operation: "connect"
  })
})

describe("an error of PostgreSQL", () => {
  it.each([
    ["it is being shut down", "57P01"],
    ["it is starting", "57P03"],
    ["its disk is full", "53100"],
    ["it is a standby", "25006"],
    ["two transactions were in each other's way", "40001"],
    ["a deadlock", "40P01"],
    ["a lock was not given in time", "55P03"],
    ["too many connections", "53300"],
    ["a wrong password", "28P01"],
    ["a missing right", "42501"],
    ["a damaged page", "XX001"]
  ])("can pass: %s", (_, code) => {
    assert.isFalse(isDefect(said(code)))
  })

  it.each([
    ["a chunk that is there already", "23505"],
    ["a broken check", "23514"],
    ["a mistake in a statement", "42601"],
    ["a value of the wrong kind", "22P02"]
  ])("is a mistake of ours: %s", (_, code) => {
    assert.isTrue(isDefect(said(code)))
  })

  it("means that nothing is stored, unless it can come after the commit", () => {
    assert.isTrue(isRolledBack({ code: "55P03", severity: "ERROR" }))
    assert.isFalse(isRolledBack({ code: "57P01", severity: "FATAL" }))
    assert.isFalse(isRolledBack({ code: "57014", severity: "ERROR" }))
  })

  it("has one severity in every language", () => {
    assert.deepStrictEqual(serverErrorOf(said("55P03")), { code: "55P03", severity: "ERROR" })
  })

  it("is none when the connection failed", () => {
    assert.isUndefined(serverErrorOf(lost))
    assert.isFalse(isDefect(lost))
  })
})
