import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Stream } from "effect"
import { createHash } from "node:crypto"
import { readdirSync, writeFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { BetFields } from "../../../src/domain/Bet.ts"
import { DrawName } from "../../../src/domain/Draw.ts"
import { exportChunks } from "../../../src/services/admin/LedgerExport.ts"
import { results } from "../../../src/services/admin/LedgerReport.ts"
import { BetLedger } from "../../../src/services/ledger/BetLedger.ts"
import { five, lottery, three } from "../../suites/LedgerLife.ts"
import { keptLedger } from "../../support/Kept.ts"
import {
  betAt,
  chunkOf,
  csvOf,
  plainChunk,
  type Selling,
  selling
} from "../../support/LedgerChunks.ts"
import { waitUntil } from "../../support/WaitUntil.ts"

const temporaryFolder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "loteria-report-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true }))
)
const newPath = Effect.map(temporaryFolder, (folder) => join(folder, "ledger.sqlite"))

/** Opens the ledger, uses it, closes it. */
const life = <A, E>(
  path: string,
  use: (ledger: Selling) => Effect.Effect<A, E>
) =>
  Effect.provide(
    Effect.flatMap(BetLedger, (ledger) => use(selling(ledger))),
    keptLedger({ path, draw: DrawName.make("nocturna"), ...lottery }),
    {
      local: true
    }
  )

const exportCsv = (path: string) =>
  Stream.map(exportChunks(path), (chunks) => Buffer.concat(chunks.map(({ csv }) => csv)))

const exported = (path: string) =>
  Effect.map(Stream.runCollect(exportCsv(path)), (pieces) => Buffer.concat([...pieces]).toString())

describe("results", () => {
  it.effect("lists every agency of the roster, while the server runs and after it", () =>
    Effect.gen(function*() {
      const path = yield* newPath
      const before = {
        drawName: "nocturna",
        agencies: [
          { agency: 3, bets: 3, chunks: 2, finished: true, winners: undefined, told: undefined },
          { agency: 5, bets: 0, chunks: 0, finished: false, winners: undefined, told: undefined }
        ],
        draw: undefined
      }
      yield* life(path, ({ commit }) =>
        Effect.gen(function*() {
          const bets = [betAt(0, 257), betAt(1, 257), betAt(2, 258)]
          yield* commit([chunkOf(three, 1, bets), chunkOf(three, 2, [], true)])
          assert.deepStrictEqual(yield* results(path), before)
        }))
      assert.deepStrictEqual(yield* results(path), before)
      yield* life(
        path,
        ({ commit, holdDraw }) => Effect.andThen(commit([plainChunk(five, 1, 4, true)]), holdDraw)
      )
      const { agencies, draw } = yield* results(path)
      assert.deepStrictEqual(agencies, [
        { agency: 3, bets: 3, chunks: 2, finished: true, winners: 2, told: undefined },
        { agency: 5, bets: 4, chunks: 1, finished: true, winners: 0, told: undefined }
      ])
      assert.strictEqual(draw?.winningNumber, 257)
      assert.match(draw?.heldAt ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    }))

  it.effect("of a file that is no ledger says so, and makes no file", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const missing = join(folder, "no.sqlite")
      for (const report of [Effect.asVoid(results(missing)), Effect.asVoid(exported(missing))]) {
        const error = yield* Effect.flip(report)
        assert.strictEqual(error.message, `${missing}: there is no such file`)
      }
      assert.deepStrictEqual(readdirSync(folder), [])
      const empty = join(folder, "empty")
      writeFileSync(empty, "")
      const error = yield* Effect.flip(results(empty))
      assert.include(error.message, "no ledger has begun in it")
      assert.deepStrictEqual(readdirSync(folder), ["empty"])
    }))
})

describe("the export", () => {
  it.effect("is the bet file: by agency, then in the order stored, and what the digest is of", () =>
    Effect.gen(function*() {
      const path = yield* newPath
      const bets = yield* Arbitrary.sampleEffect(Arbitrary.schema(BetFields), { count: 120 })
      const [a, b, c] = [bets.slice(0, 40), bets.slice(40, 80), bets.slice(80)]
      yield* life(path, ({ commit, digest }) =>
        Effect.gen(function*() {
          yield* commit([chunkOf(five, 1, b), chunkOf(three, 1, a), chunkOf(five, 2, [])])
          yield* commit([chunkOf(three, 2, c)])
          const expected = csvOf(three, [...a, ...c]) + csvOf(five, b)
          assert.strictEqual(yield* exported(path), expected)
          const { digest: stored } = yield* digest(five)
          assert.strictEqual(stored, createHash("sha256").update(csvOf(five, b)).digest("hex"))
        }))
    }))

  it.effect("of a ledger whose chunks changed places, each of them whole, is refused", () =>
    Effect.gen(function*() {
      const path = yield* newPath
      yield* life(path, ({ commit }) => commit([1, 2, 3].map((seq) => plainChunk(three, seq, 1))))
      const db = new DatabaseSync(path)
      db.exec("UPDATE chunk SET id = 9 WHERE id = 1; UPDATE chunk SET id = id - 1")
      db.close()
      assert.include(
        (yield* Effect.flip(exported(path))).message,
        "chunk 2 of agency 3 is not in its place"
      )
    }))

  it.effect("of an empty ledger is empty", () =>
    Effect.gen(function*() {
      const path = yield* newPath
      yield* life(path, () => Effect.void)
      assert.strictEqual(yield* exported(path), "")
    }))

  it.effect("is of the moment when it began, in pieces, and leaves the log free to be emptied", () =>
    Effect.gen(function*() {
      const path = yield* newPath
      yield* life(path, ({ commit }) =>
        Effect.gen(function*() {
          const chunks = Array.from(
            { length: 20 },
            (_, index) => plainChunk(three, index + 1, 1000)
          )
          yield* commit(chunks)
          const pieces: Array<Uint8Array> = []
          yield* Stream.runForEach(exportCsv(path), (piece) =>
            Effect.gen(function*() {
              if (pieces.length === 0) {
                yield* commit([plainChunk(three, 21, 1000)])
                // The server's own pass may be under way; the export would be in its way until it ends.
                using other = new DatabaseSync(path)
                const checkpoint = other.prepare("PRAGMA wal_checkpoint(TRUNCATE)")
                yield* Effect.promise(() =>
                  waitUntil("an emptied log", () => checkpoint.get()?.["busy"] === 0)
                )
              }
              pieces.push(piece)
            }))
          assert.isAbove(pieces.length, 2)
          const lines = Buffer.concat(pieces).toString().split("\r\n")
          assert.strictEqual(lines.length, 20_001)
        }))
    }))

  it.effect("can be left off", () =>
    Effect.gen(function*() {
      const path = yield* newPath
      yield* life(path, ({ commit }) =>
        commit([plainChunk(three, 1, 9000), plainChunk(three, 2, 9000)]))
      const first = yield* Stream.runHead(exportCsv(path))
      assert.strictEqual(first._tag, "Some")
      yield* life(path, ({ commit }) =>
        commit([plainChunk(three, 3, 1)]))
    }))
})
