/** Which file a ledger's path means, and that one file has one name. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { linkSync, mkdirSync, rmSync, symlinkSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { BetLedger } from "../../../../src/services/ledger/BetLedger.ts"
import { lottery, three } from "../../../suites/LedgerLife.ts"
import { keptLedger } from "../../../support/Kept.ts"
import { plainChunk, type Selling, selling, standingOf } from "../../../support/LedgerChunks.ts"

const temporaryFolder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "loteria-place-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true }))
)

/** One life of the process: opens the ledger, uses it, closes it. */
const life = <A, E>(path: string, use: (ledger: Selling) => Effect.Effect<A, E>) =>
  Effect.provide(
    Effect.flatMap(BetLedger, (ledger) => use(selling(ledger))),
    keptLedger({ path, ...lottery }),
    {
      local: true
    }
  )

const countBets = (path: string): number => {
  using db = new DatabaseSync(path, { readOnly: true })
  return Number(db.prepare("SELECT count(*) AS bets FROM bet").get()?.["bets"])
}

describe("the ledger's file", () => {
  const links: ReadonlyArray<readonly [string, (folder: string) => readonly [string, string]]> = [
    ["a link to where nothing is yet", (folder) => {
      symlinkSync(join(folder, "ledger.sqlite"), join(folder, "link"))
      return [join(folder, "link"), join(folder, "ledger.sqlite")]
    }],
    ["a link to such a link, from another folder", (folder) => {
      mkdirSync(join(folder, "other"))
      symlinkSync("ledger.sqlite", join(folder, "link"))
      symlinkSync("../link", join(folder, "other", "link"))
      return [join(folder, "other", "link"), join(folder, "ledger.sqlite")]
    }],
    ["a folder that is a link", (folder) => {
      mkdirSync(join(folder, "data"))
      symlinkSync("data", join(folder, "volume"))
      return [join(folder, "volume", "ledger.sqlite"), join(folder, "data", "ledger.sqlite")]
    }],
    ["a link through a folder that is a link to its parent's", (folder) => {
      mkdirSync(join(folder, "deep", "data"), { recursive: true })
      symlinkSync(join(folder, "deep", "data"), join(folder, "volume"))
      symlinkSync("volume/../ledger.sqlite", join(folder, "link"))
      return [join(folder, "link"), join(folder, "deep", "ledger.sqlite")]
    }]
  ]
  it.effect.each(links)(
    "is held by one process under both names: %s",
    ([, make]) =>
      Effect.gen(function*() {
        const names = make(yield* temporaryFolder)
        for (const [held, other] of [names, names.toReversed()]) {
          assert.isDefined(held)
          assert.isDefined(other)
          yield* life(held, ({ claim, commit }) =>
            Effect.gen(function*() {
              const error = yield* Effect.flip(life(other, () => Effect.void))
              assert.strictEqual(error._tag, "LedgerInUse")
              const { seq } = yield* standingOf({ claim }, three)
              yield* commit([plainChunk(three, seq + 1, 1)])
            }))
        }
        for (const name of names) {
          assert.strictEqual(countBets(name), 2)
        }
      })
  )

  it.effect("with a second name (a hard link) is refused, under each of them, with the other's", () =>
    Effect.gen(function*() {
      const path = join(yield* temporaryFolder, "ledger.sqlite")
      const other = join(path, "..", "other.sqlite")
      yield* life(path, ({ commit }) => commit([plainChunk(three, 1, 1)]))
      linkSync(path, other)
      for (const [name, named] of [[path, other], [other, path]] as const) {
        const error = yield* Effect.flip(life(name, () => Effect.void))
        assert.strictEqual(error._tag, "LedgerUnreadable")
        assert.include(error.message, `another one is ${named}`)
        assert.include(error.message, "Remove the other name")
      }
      rmSync(other)
      yield* life(path, ({ commit }) => commit([plainChunk(three, 2, 1)]))
    }))

  it.effect("that a link in a circle means is named", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      symlinkSync("there", join(folder, "here"))
      symlinkSync("here", join(folder, "there"))
      const error = yield* Effect.flip(life(join(folder, "here"), () => Effect.void))
      assert.strictEqual(error._tag, "LedgerUnavailable")
      assert.include(error.message, "leads to itself")
    }))
})
