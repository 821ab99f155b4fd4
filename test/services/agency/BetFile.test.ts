import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fieldsOfBet } from "../../../src/domain/Bet.ts"
import { checkBets } from "../../../src/services/agency/BetCheck.ts"
import {
  type BetInput,
  betsOf,
  betsOfBytes,
  readBets
} from "../../../src/services/agency/BetFile.ts"
import { generateBets } from "../../../src/services/trial/Generate.ts"
import { generateFiles } from "../../../src/services/trial/GeneratedFiles.ts"
import { betFile, digestOf, sales } from "../../support/Sales.ts"

const collect = (input: BetInput) => Stream.runCollect(betsOf(input))

const temporaryFolder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "loteria-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true }))
)

describe("bet files", () => {
  const read = (text: string | Uint8Array) =>
    betsOfBytes(
      "agency-3.csv",
      Stream.succeed(typeof text === "string" ? new TextEncoder().encode(text) : text)
    )

  it.effect("gives each bet with its line", () =>
    Effect.gen(function*() {
      const lines = yield* collect(read("A,B,1,2000-01-01,1\r\nC,\"D, hijo\",2,2000-01-02,2\r\n"))
      assert.deepStrictEqual(
        lines.map(({ bet: { lastName }, line }) => [line, lastName]),
        [[1, "B"], [2, "D, hijo"]]
      )
    }))

  it.effect("names every line that is not a bet with the field and the rule, never the value", () =>
    Effect.gen(function*() {
      const one = yield* Effect.flip(
        checkBets(read("A,B,1,2000-01-01,1\r\nC,D,2,2000-02-31,2\r\n"), 3)
      )
      assert.strictEqual(
        one.message,
        "agency-3.csv: line 2: the birthdate must be a calendar date, YYYY-MM-DD; correct the line and start again"
      )
      const several = yield* Effect.flip(
        checkBets(
          read("A,B,1,2000-01-01,1\nC,,2-2,2000-01-02,2\nE,F\nG,H,3,2000-01-01,3\n\"I,J"),
          3
        )
      )
      assert.strictEqual(
        several.message,
        "agency-3.csv: 3 lines are not bets; correct them and start again\n"
          + "  line 2: the last name must be 1 to 100 characters, none of them a control character; "
          + "the document must be 1 to 20 letters and digits\n"
          + "  line 3: 2 fields instead of 5\n"
          + "  line 5: a quoted field is not closed"
      )
    }))

  it.effect("names 20 lines at most, and counts them all", () =>
    Effect.gen(function*() {
      const file = `A,B,1,2000-01-01,1\n${"Secreta,B,1\n".repeat(1000)}`
      const { message } = yield* Effect.flip(checkBets(read(file), 3))
      assert.include(message, "1000 lines are not bets")
      assert.lengthOf([...message.matchAll(/^ {2}line /gm)], 20)
      assert.match(message, /^ {2}and 980 more$/m)
      assert.notInclude(message, "Secreta")
    }))

  const good = "A,B,1,2000-01-01,1\n"
  const hints: ReadonlyArray<readonly [string, string | Uint8Array, ReadonlyArray<RegExp>]> = [
    ["semicolons", "A;B;1;2000-01-01;1\n", [/semicolons, as a spreadsheet in Spanish/]],
    ["a header", `nombre,apellido,documento,nacimiento,numero\n${good}`, [
      /line 1 looks like a header/
    ]],
    [
      "semicolons and a header",
      "nombre;apellido;documento;nacimiento;numero\nA;B;1;2000-01-01;1\n",
      [
        /semicolons/,
        /header/
      ]
    ],
    ["empty lines at the end", `${good}\n;;;;\n,,,,\n`, [/ends with empty lines/]],
    ["an empty line in the middle", `${good}\n${good}`, []],
    ["an export", `3,${good}`, [/an agency's number/]],
    [
      "another encoding",
      Uint8Array.from(`Mu\xf1oz,${good.slice(2)}`, (text) => text.charCodeAt(0)),
      [
        /save the file as UTF-8/
      ]
    ]
  ]
  for (const [what, file, expected] of hints) {
    it.effect(`says what to do about ${what}`, () =>
      Effect.gen(function*() {
        const { message } = yield* Effect.flip(checkBets(read(file), 3))
        const found = message.split("\n").filter((line) => line.startsWith("  hint: "))
        assert.lengthOf(found, expected.length, message)
        for (const hint of expected) assert.match(message, hint)
      }))
  }

  it.effect("refuses a file that isn't UTF-8, even when it ends within a character", () =>
    Effect.gen(function*() {
      for (const bytes of [[0xd1, 0x75, 0xf1], [0x41, 0xc3]]) {
        const error = yield* Effect.flip(checkBets(read(Uint8Array.from(bytes)), 3))
        assert.match(error.message, /line 1: not UTF-8; /)
      }
    }))

  it.effect("has the digest that RESUME_POINT has of it", () =>
    Effect.gen(function*() {
      const bets = sales(3, 1500)
      const checked = yield* checkBets(read(betFile(bets)), 3)
      assert.deepStrictEqual(checked, { bets: 1500, digest: digestOf(3, bets) })
    }))

  it.live("are read back as they were generated, names with commas and quotes included", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const files = yield* generateFiles(folder, { agencies: 2, bets: 5000, seed: 42 }, {
        force: false,
        keep: false,
        ledgers: []
      })
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(folder)), [
        "agency-1.csv",
        "agency-2.csv"
      ])
      for (const { agency, bets, path } of files) {
        const lines = yield* collect(readBets(path))
        assert.deepStrictEqual(
          lines.map(({ bet }) => fieldsOfBet(bet)),
          [...generateBets(42, agency, bets)]
        )
        assert.strictEqual(lines.at(-1)?.line, bets)
        const text = yield* Effect.promise(() => readFile(path, "utf8"))
        assert.strictEqual(text.split("\r\n").length, bets + 1)
      }
    }).pipe(Effect.scoped))

  it.live("name the path and the reason when they can't be opened", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(checkBets(readBets("/nowhere/agency-3.csv"), 3))
      assert.strictEqual(error.message, "/nowhere/agency-3.csv: there is no such file or folder")
    }))
})
