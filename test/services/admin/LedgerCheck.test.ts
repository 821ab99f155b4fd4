/** Every kind of damage. The command as a process is tried in e2e/ledger.test.ts. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { copyFileSync, mkdtempSync, rmSync } from "node:fs"
import { copyFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { parseRoster } from "../../../src/domain/Agency.ts"
import { WinningNumber } from "../../../src/domain/Draw.ts"
import { verifyLedger } from "../../../src/services/admin/LedgerCheck.ts"
import { beginLedger } from "../../../src/services/admin/NextLedger.ts"
import { Central } from "../../support/Central.ts"
import { FieldAgency } from "../../support/FieldAgency.ts"
import { sales } from "../../support/Sales.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "loteria-admin-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

/** What is done to a ledger of two agencies with 25 and 12 bets in chunks of 5, and what is to be said of it. */
const damages: ReadonlyArray<readonly [what: string, sql: string, problem: RegExp]> = [
  ["a chunk that is gone", "DELETE FROM chunk WHERE id = 3", /chunk rows 3 to 3 are missing/],
  [
    "an agency's chunk out of its place",
    "UPDATE chunk SET seq = 7 WHERE agency = 1 AND seq = 2",
    /agency 1, chunk 7: comes after chunk 1/
  ],
  [
    "a chunk after the last one",
    "UPDATE chunk SET last = 1 WHERE agency = 1 AND seq = 2",
    /agency 1, chunk 3: comes after the agency's last chunk/
  ],
  [
    "an agency of another roster",
    "UPDATE chunk SET agency = 9 WHERE agency = 2",
    /agency 9, chunk 1: the agency is not in the roster/
  ],
  [
    "a wrong count",
    "UPDATE chunk SET bets = 4 WHERE id = 1",
    /chunk 1: is said to hold 4 bets, and has 5 numbers[^]*chunk 1: is said to hold 4 bets, and holds 5/
  ],
  [
    "a bet that breaks a rule",
    "UPDATE chunk SET body = replace(body, char(9) || '1941-', char(9) || '1941-13-') WHERE id = 1",
    /agency 1, chunk 1, bet 2: its birthdate breaks the rule/
  ],
  [
    "a bet without all its fields",
    "UPDATE chunk SET body = replace(body, char(9) || '1941-', '1941-') WHERE id = 1",
    /agency 1, chunk 1, bet 2: its number of fields, 4, breaks the rule/
  ],
  [
    "a body that is cut off",
    "UPDATE chunk SET body = substr(body, 1, length(body) - 1) WHERE id = 1",
    /agency 1, chunk 1: its last bet is cut off/
  ],
  [
    "a number that the draw would read differently",
    "UPDATE chunk SET numbers = zeroblob(length(numbers)) WHERE id = 1",
    /agency 1, chunk 1, bet 1: its number is not the one that the draw looks at/
  ],
  [
    "a name that breaks no rule but isn't what was stored",
    "UPDATE chunk SET body = replace(body, 'Ana', 'Ena')",
    /agency 1, chunk \d+: its bytes are not those that were stored/
  ],
  [
    "bytes that are no text",
    "UPDATE chunk SET body = CAST(x'ff' || CAST(body AS BLOB) AS TEXT) WHERE id = 1",
    /agency 1, chunk 1: is not UTF-8/
  ],
  [
    "a snapshot that says something else",
    "UPDATE snapshot SET bets = bets + 1 WHERE agency = 2",
    /agency 2: the snapshot says 13 bets in 3 chunks, finished, there are 12 bets in 3 chunks, finished/
  ],
  [
    "a snapshot of chunks that are not there",
    "UPDATE snapshot_end SET chunk = 1000",
    /the snapshot covers chunk rows up to 1000, the last is 8/
  ],
  [
    "a winner that is gone",
    "DELETE FROM winner WHERE agency = 2",
    /agency 2: its 0 stored winners/
  ],
  [
    "another winner",
    "UPDATE winner SET document = '1' WHERE agency = 1 AND position = 1",
    /agency 1: its 2 stored winners are not the 2 of its bets/
  ],
  [
    "a draw of another number",
    "UPDATE draw SET winning_number = 1",
    /the draw was held with 1, the ledger began with 7574/
  ],
  ["winners without a draw", "DELETE FROM draw", /there are winners without a draw/],
  [
    "a draw before its time",
    "UPDATE lottery SET roster = '3'",
    /the draw was held, and agency 3 has not finished/
  ],
  ["no lottery", "DELETE FROM lottery", /doesn't say which lottery/],
  ["a table that is gone", "DROP TABLE snapshot", /can't be read: no such table: .*snapshot/]
]

describe("verifyLedger", () => {
  it.live("names every kind of damage by its place, without a bettor's data", () =>
    Effect.gen(function*() {
      const place = yield* folder
      const path = join(place, "ledger.sqlite")
      const sold = new Map([[1, sales(1, 25, 2)], [2, sales(2, 12, 1)]])
      yield* Effect.promise(async () => {
        await using central = await Central.start({ agencies: 2 })
        for (const [id, bets] of sold) {
          using agency = await FieldAgency.open(central, id)
          await agency.sendBets(bets, 5, true)
        }
        await central.stop()
        await copyFile(central.ledgerPath, path)
      })
      const clean = { chunks: 8, bets: 37, agencies: 2, finished: 2, drawHeld: true }
      assert.deepStrictEqual(yield* verifyLedger(path), { ...clean, problemCount: 0, problems: [] })
      const personal = [...sold.values()].flat().flatMap((bet) => bet.split(",").slice(0, 3))
      for (const [index, [what, sql, expected]] of damages.entries()) {
        const damaged = join(place, `damaged-${index}.sqlite`)
        copyFileSync(path, damaged)
        const db = new DatabaseSync(damaged)
        db.exec(sql)
        db.close()
        const { problemCount, problems } = yield* verifyLedger(damaged)
        const text = problems.join("\n")
        assert.match(text, expected, what)
        assert.strictEqual(problemCount, problems.length, what)
        for (const value of personal) assert.notInclude(text, value, what)
      }
    }).pipe(Effect.scoped))

  it.live("counts the problems that are too many to name", () =>
    Effect.gen(function*() {
      const path = join(yield* folder, "ledger.sqlite")
      yield* beginLedger(path, {
        roster: Option.getOrThrow(parseRoster("5", 5)),
        winningNumber: WinningNumber.make(1)
      })
      const db = new DatabaseSync(path)
      db.exec(`
        WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 500)
        INSERT INTO chunk SELECT id, 6, id, 0, 0, x'', '', 0 FROM n
      `)
      db.close()
      const { problemCount, problems } = yield* verifyLedger(path)
      assert.deepStrictEqual([problemCount, problems.length], [1000, 100])
    }).pipe(Effect.scoped))
})
