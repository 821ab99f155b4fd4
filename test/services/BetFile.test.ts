import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fieldsOfBet } from "../../src/domain/Bet.ts"
import { generateBets } from "../../src/domain/Generate.ts"
import { betsOfBytes, readBets } from "../../src/services/BetFile.ts"
import { generateFiles } from "../../src/services/GeneratedFiles.ts"

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
      .pipe(Stream.runCollect)

  it.effect("gives each bet with its line", () =>
    Effect.gen(function*() {
      const lines = yield* read("A,B,1,2000-01-01,1\r\nC,\"D, hijo\",2,2000-01-02,2\r\n")
      assert.deepStrictEqual(
        lines.map(({ bet: { lastName }, line }) => [line, lastName]),
        [[1, "B"], [2, "D, hijo"]]
      )
    }))

  it.effect("names the line and the field of what is not a bet, never the value", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(read("A,B,1,2000-01-01,1\r\nC,D,2,2000-02-31,2\r\n"))
      assert.strictEqual(
        error.message,
        "agency-3.csv: line 2: the birthdate breaks its rule; correct the line and start again"
      )
    }))

  it.effect("refuses a file that isn't UTF-8, even when it ends within a character", () =>
    Effect.gen(function*() {
      for (const bytes of [[0xd1, 0x75, 0xf1], [0x41, 0xc3]]) {
        const error = yield* Effect.flip(read(Uint8Array.from(bytes)))
        assert.match(error.message, /not UTF-8/)
      }
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
        const lines = yield* Stream.runCollect(readBets(path))
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
      const error = yield* Effect.flip(Stream.runDrain(readBets("/nowhere/agency-3.csv")))
      assert.strictEqual(error.message, "/nowhere/agency-3.csv: there is no such file or folder")
    }))
})
