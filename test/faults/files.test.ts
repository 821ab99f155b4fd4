/** What is done to a ledger's files, call by call; and `ledger begin` killed at each of them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { existsSync, readdirSync, rmSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import { AgencyId } from "../../src/domain/Agency.ts"
import { WinningNumber } from "../../src/domain/Draw.ts"
import { beginLedger } from "../../src/services/admin/NextLedger.ts"
import { encodeGroup } from "../../src/services/ledger/sqlite/GroupBuffer.ts"
import { toFailure } from "../../src/services/ledger/sqlite/LedgerProblem.ts"
import { LedgerWriter } from "../../src/services/ledger/sqlite/LedgerWriter.ts"
import { writerDefaults } from "../../src/services/ledger/sqlite/WriterConfig.ts"
import { plainChunk } from "../support/LedgerChunks.ts"
import { LedgerFile } from "../support/LedgerFile.ts"
import { FileCalls } from "./FileCalls.ts"

const { unavailable } = FileCalls
const unless = unavailable === undefined ? "" : ` (skipped: ${unavailable})`
const three = AgencyId.make(3)
const bets = 7

describe("a commit", () => {
  it.skipIf(unavailable !== undefined)(
    `that fails and turns out to be stored is acknowledged, and the ledger goes on${unless}`,
    () => {
      using watched = new FileCalls()
      const path = join(watched.folder, "ledger.sqlite")
      const now = join(watched.folder, "now")
      const { code, output } = watched.run(["write", path, now], { loseCommit: now })
      assert.strictEqual(output, "1 stored\n2 stored\n3 stored\n")
      assert.strictEqual(code, 0)
      using ledger = new LedgerFile(path)
      assert.deepStrictEqual(ledger.seqs(3), [1, 2, 3])
    }
  )
})

describe("a new folder", () => {
  it.skipIf(unavailable !== undefined)(
    `has its name on disk before the ledger is made in it${unless}`,
    () => {
      using watched = new FileCalls()
      const path = join(watched.folder, "new", "deep", "ledger.sqlite")
      const { calls } = watched.run(["write", path])
      const made = calls.flatMap(({ name, path: folder }, at) =>
        name === "mkdir" ? [{ at, folder }] : []
      )
      assert.deepStrictEqual(made.map(({ folder }) => folder), [
        join(watched.folder, "new"),
        join(watched.folder, "new", "deep")
      ])
      const begun = calls.findIndex(({ name, path: file }) => name === "create" && file === path)
      for (const { at, folder } of made) {
        const between = calls.slice(at, begun)
        assert.isTrue(
          between.some((call) => call.name === "sync" && call.path === dirname(folder)),
          folder
        )
      }
    }
  )
})

describe("the write-ahead log", () => {
  it.skipIf(unavailable !== undefined)(
    `is begun anew only when what was copied out of it is on disk${unless}`,
    () => {
      using watched = new FileCalls()
      const path = join(watched.folder, "ledger.sqlite")
      const { calls, code, output } = watched.run(["checkpoint", path])
      assert.strictEqual(code, 0, output)
      let unsynced = 0
      let begunAnew = 0
      for (const { name, offset, path: file } of calls) {
        if (file === path && name === "write") unsynced++
        if (file === path && name === "sync") unsynced = 0
        if (file !== `${path}-wal` || name !== "write" || offset !== 0) continue
        assert.strictEqual(unsynced, 0, "the log was written over before the file was synced")
        begunAnew++
      }
      assert.isAbove(begunAnew, 5)
    }
  )
})

describe("ledger begin", () => {
  const configOf = (path: string, winningNumber: number) => ({
    ...writerDefaults,
    path,
    roster: "3,",
    agencies: [three],
    winningNumber
  })

  const nextLottery = { roster: [three], winningNumber: WinningNumber.make(1234) }

  const open = (path: string, winningNumber: number): LedgerWriter | undefined => {
    try {
      return new LedgerWriter(configOf(path, winningNumber))
    } catch (error) {
      const failure = toFailure(error)
      if (failure.kind === "Mismatch") return undefined
      throw error
    }
  }

  /** The databases in the folder, each with one name. */
  const databases = (folder: string, what: string): ReadonlyArray<string> => {
    const names = readdirSync(folder)
    assert.deepStrictEqual(names.filter((name) => name.includes(".next")), [], what)
    const found = names.filter((name) => name.endsWith(".sqlite"))
    for (const name of found) assert.strictEqual(statSync(join(folder, name)).nlink, 1, what)
    return found
  }

  const assertOld = (path: string, what: string): void => {
    using ledger = new LedgerFile(path)
    assert.lengthOf(ledger.betsOf(3), bets, what)
  }

  /** A start finds the old ledger or the new one, whole, and nothing else than what belongs there. */
  const assertStarts = (folder: string, what: string): void => {
    const path = join(folder, "ledger.sqlite")
    const old = open(path, 257)
    const next = old === undefined ? open(path, 1234) : undefined
    try {
      if (old !== undefined) {
        assert.strictEqual(old.draw?.winningNumber, 257, what)
        assert.strictEqual(old.agencies.get(3)?.bets, bets, what)
      } else assert.strictEqual(next?.agencies.get(3)?.bets, 0, what)
    } finally {
      old?.close()
      next?.close()
    }
    const found = databases(folder, what)
    assert.lengthOf(found, old === undefined ? 2 : 1, what)
    for (const name of found) {
      if (name !== "ledger.sqlite") assertOld(join(folder, name), what)
    }
  }

  it.skipIf(unavailable !== undefined)(
    `killed at any step leaves the old ledger or the new one, and the next start or begin cleans up the rest${unless}`,
    () => {
      using watched = new FileCalls()
      const path = join(watched.folder, "ledger.sqlite")
      const prepared = join(watched.folder, "..", "prepared")
      const writer = new LedgerWriter(configOf(path, 257))
      writer.commit(encodeGroup([plainChunk(three, 1, bets, true)], undefined))
      writer.holdDraw()
      writer.close()
      const copy = (from: string, to: string) => {
        rmSync(to, { recursive: true, force: true })
        execFileSync("cp", ["-a", from, to])
      }
      copy(watched.folder, prepared)
      const names = new Set<string>()
      for (let step = 1;; step++) {
        copy(prepared, watched.folder)
        const { calls, code, output } = watched.run(["begin", path], { killAt: step })
        if (code === 0) break
        assert.isNull(code, output)
        const what = `killed before call ${step}, after ${calls.at(-1)?.name} ${calls.at(-1)?.path}`
        for (const name of readdirSync(watched.folder)) names.add(name.replace(/-\d.*Z/, "-TIME"))
        const started = join(watched.folder, "..", "started")
        copy(watched.folder, started)
        assertStarts(started, what)
        Effect.runSync(beginLedger(path, nextLottery, true))
        assertStarts(watched.folder, what)
        assert.isTrue(existsSync(path), what)
        assert.lengthOf(databases(watched.folder, what), 2, what)
      }
      // The kills came at all the moments that matter.
      assert.includeMembers([...names], [
        "ledger.sqlite.next",
        "ledger.sqlite.next.partial",
        "ledger-TIME.sqlite"
      ])
    },
    180_000
  )
})
