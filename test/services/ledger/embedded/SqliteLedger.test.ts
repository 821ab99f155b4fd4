import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Cause, Effect, Exit } from "effect"
import { spawn } from "node:child_process"
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { createInterface } from "node:readline"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import { BetFields } from "../../../../src/domain/Bet.ts"
import { DrawName } from "../../../../src/domain/Draw.ts"
import { BetLedger } from "../../../../src/services/ledger/BetLedger.ts"
import { LedgerThread } from "../../../../src/services/ledger/embedded/LedgerThread.ts"
import type { SqliteLedgerOptions } from "../../../../src/services/ledger/embedded/SqliteLedger.ts"
import { checksumWithId, defineChecksums } from "../../../../src/services/ledger/sqlite/Checksum.ts"
import { applicationId, migrations } from "../../../../src/services/ledger/sqlite/Tables.ts"
import type {
  WriterReply,
  WriterRequest
} from "../../../../src/services/ledger/sqlite/ThreadMessages.ts"
import { BetLedgerSuite } from "../../../suites/BetLedgerSuite.ts"
import { five, lottery, three } from "../../../suites/LedgerLife.ts"
import { keptLedger } from "../../../support/Kept.ts"
import {
  betAt,
  chunkOf,
  plainChunk,
  type Selling,
  selling,
  standingOf
} from "../../../support/LedgerChunks.ts"
import { query } from "../../../support/LedgerFile.ts"
import { waitUntil } from "../../../support/WaitUntil.ts"

const temporaryFolder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "loteria-ledger-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true }))
)
const newPath = Effect.map(temporaryFolder, (folder) => join(folder, "new", "ledger.sqlite"))

BetLedgerSuite(
  "the SQLite ledger",
  Effect.map(newPath, (path) => ({
    layer: (of) => keptLedger({ path, ...of, snapshotChunks: 4 })
  }))
)

/** One life of the process: opens the ledger, uses it, closes it. */
const life = <A, E>(
  path: string,
  use: (ledger: Selling) => Effect.Effect<A, E>,
  options: Partial<SqliteLedgerOptions> = {}
) =>
  Effect.provide(
    Effect.flatMap(BetLedger, (ledger) => use(selling(ledger))),
    keptLedger({ path, ...lottery, ...options }),
    { local: true }
  )

/** A process of its own that holds the ledger; see test/support/LedgerProcess.ts. */
const startHolder = (what: "hold" | "overfill", path: string, limits = "", bytes = "") =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const script = fileURLToPath(new URL("../../../support/LedgerProcess.ts", import.meta.url))
      const command = `${limits} exec "$0" "$@"`
      const args = [process.execPath, script, what, path, bytes]
      const child = spawn("sh", ["-c", command, ...args], { stdio: ["ignore", "pipe", "inherit"] })
      const lines: Array<string> = []
      createInterface(child.stdout).on("line", (line) => lines.push(line))
      const ended = new Promise<number | null>((resolve) =>
        child.on("close", (code) => resolve(code))
      )
      return { child, ended, lines }
    }),
    ({ child, ended }) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return ended
      })
  )

describe("the SQLite ledger's file", () => {
  it.effect("can be read with SQL, one row a bet, whatever the names hold", () =>
    Effect.gen(function*() {
      const path = yield* newPath
      const awkward = { firstName: "\\\"'\\", lastName: ",[]{}\\n€\u{1f600}\u2028 " }
      const sampled = yield* Arbitrary.sampleEffect(Arbitrary.schema(BetFields), { count: 299 })
      const bets = [...sampled, { ...betAt(0), ...awkward }]
      yield* life(path, ({ commit }) =>
        commit([
          chunkOf(five, 1, bets.slice(200)),
          chunkOf(three, 1, bets.slice(0, 1)),
          plainChunk(three, 2, 0),
          chunkOf(three, 3, bets.slice(1, 200))
        ]))
      const rows = query(path, "SELECT * FROM bet ORDER BY agency, chunk, position")
      const row = (agency: number, chunk: number) => (bet: BetFields, index: number) => [
        agency,
        bet.firstName,
        bet.lastName,
        bet.document,
        bet.birthdate,
        Number(bet.number),
        chunk,
        index + 1
      ]
      assert.deepStrictEqual(rows, [
        ...bets.slice(0, 1).map(row(3, 1)),
        ...bets.slice(1, 200).map(row(3, 3)),
        ...bets.slice(200).map(row(5, 1))
      ])
    }))

  it.effect("says which draw it is of: by the name that it was given, or by when it began", () =>
    Effect.gen(function*() {
      const [named, unnamed] = [yield* newPath, yield* newPath]
      const nameOf = ({ opened }: Selling) =>
        Effect.succeed([opened.drawName, opened.isNew] as const)
      const draw = DrawName.make("2026-11-24-nocturna")
      assert.deepStrictEqual(yield* life(named, nameOf, { draw }), [draw, true])
      assert.deepStrictEqual(yield* life(named, nameOf, { draw }), [draw, false])
      assert.deepStrictEqual(yield* life(named, nameOf), [draw, false])
      const other = life(named, nameOf, { draw: DrawName.make("other") })
      assert.include(
        (yield* Effect.flip(other)).message,
        `draw ${draw}, the configuration says other`
      )

      const [name, isNew] = yield* life(unnamed, nameOf)
      assert.match(name, /^\d{4}-\d\d-\d\dT\d{6}$/)
      assert.isTrue(isNew)
      assert.deepStrictEqual(yield* life(unnamed, nameOf), [name, false])
    }))

  it.effect("from before draws had names takes that of its file, and keeps what it holds", () =>
    Effect.gen(function*() {
      const path = join(yield* temporaryFolder, ".quiniela (vieja) año.sqlite")
      const db = new DatabaseSync(path)
      defineChecksums(db)
      for (const migration of migrations.slice(0, 2)) migration(db)
      db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = 2`)
      db.exec("INSERT INTO lottery (id, roster, winning_number) VALUES (1, '3,5', 257)")
      const { bets, body, numbers } = plainChunk(three, 1, 2)
      db.prepare("INSERT INTO chunk VALUES (1, 3, 1, 0, ?, ?, CAST(? AS TEXT), ?)")
        .run(bets, numbers, body, checksumWithId(1, 3, 1, 0, bets, numbers, body))
      db.close()
      const opened = yield* life(path, (ledger) => Effect.succeed(ledger.opened))
      assert.deepStrictEqual(
        [opened.drawName, opened.isNew, opened.bets],
        ["quiniela--vieja--a-o", false, 2]
      )
      assert.deepStrictEqual(query(path, "SELECT draw FROM lottery"), [["quiniela--vieja--a-o"]])
    }))

  it.effect("is gone when the start that made it fails, unless an agency was told of it or it holds a chunk", () =>
    Effect.gen(function*() {
      const fails = Effect.fail("the port is in use")
      const filesAfter = Effect.fnUntraced(function*<E>(
        use: (ledger: Selling) => Effect.Effect<unknown, E>,
        path: string
      ) {
        yield* Effect.exit(life(path, (ledger) => Effect.andThen(use(ledger), fails)))
        return readdirSync(dirname(path)).filter((name) => !name.endsWith(".lock"))
      })
      const nothing = () => Effect.void
      const path = yield* newPath
      assert.deepStrictEqual(yield* filesAfter(nothing, path), [])
      yield* life(path, nothing)
      assert.deepStrictEqual(yield* filesAfter(nothing, path), ["ledger.sqlite"])
      const asked = yield* filesAfter(({ digest }) => digest(three), yield* newPath)
      assert.deepStrictEqual(asked, ["ledger.sqlite"])
      const sold = yield* filesAfter(
        ({ commit }) => commit([plainChunk(three, 1, 0)]),
        yield* newPath
      )
      assert.deepStrictEqual(sold, ["ledger.sqlite"])
    }))

  it.effect("is opened from a snapshot and the chunks after it", () =>
    Effect.gen(function*() {
      const path = yield* newPath
      const covered = `SELECT chunk FROM snapshot_end`
      const seqOf = (ledger: Selling) => Effect.map(standingOf(ledger, three), ({ seq }) => seq)
      yield* life(path, ({ commit }) =>
        Effect.gen(function*() {
          for (let seq = 1; seq <= 25; seq++) yield* commit([plainChunk(three, seq, seq % 2)])
          assert.deepStrictEqual(query(path, covered), [[20]])
        }), { snapshotChunks: 10 })
      assert.deepStrictEqual(query(path, covered), [[25]])
      assert.strictEqual(yield* life(path, seqOf), 25)
      const db = new DatabaseSync(path)
      db.exec("DELETE FROM chunk WHERE id <= 25")
      db.close()
      assert.strictEqual(yield* life(path, seqOf), 25)
    }))

  it.effect("with a gap in an agency's chunks is refused as damaged", () =>
    Effect.gen(function*() {
      const path = yield* newPath
      yield* life(path, ({ commit }) => commit([1, 2, 3].map((seq) => plainChunk(three, seq, 1))))
      const db = new DatabaseSync(path)
      db.exec(
        "DELETE FROM snapshot; UPDATE snapshot_end SET chunk = 0; DELETE FROM chunk WHERE seq = 2"
      )
      db.close()
      const error = yield* Effect.flip(life(path, () => Effect.void))
      assert.strictEqual(error._tag, "LedgerUnreadable")
      assert.include(error.message, "agency 3 have gaps")
    }))

  const foreign: ReadonlyArray<readonly [string, string, (path: string) => void]> = [
    ["text", "not an SQLite database", (path) => writeFileSync(path, "agency,bet\n".repeat(99))],
    ["another application's database", "another application's", (path) => {
      const db = new DatabaseSync(path)
      db.exec("CREATE TABLE person (name TEXT)")
      db.close()
    }],
    [
      "a ledger of a newer version",
      "version 99, and this program knows only versions up to",
      (path) => {
        const db = new DatabaseSync(path)
        db.exec(
          `PRAGMA application_id = ${0x4c6f744e}; PRAGMA user_version = 99; CREATE TABLE x (y)`
        )
        db.close()
      }
    ]
  ]
  it.effect.each(foreign)(
    "is not touched when it is %s",
    ([, problem, make]) =>
      Effect.gen(function*() {
        const path = join(yield* temporaryFolder, "some.file")
        make(path)
        const before = readFileSync(path)
        const error = yield* Effect.flip(life(path, () => Effect.void))
        assert.strictEqual(error._tag, "LedgerUnreadable")
        assert.include(error.message, problem)
        assert.isTrue(before.equals(readFileSync(path)))
      })
  )

  it.effect("that can't be made is named, with what to do", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "file"), "")
      for (const path of [join(folder, "file", "x", "ledger"), "/proc/nothing/ledger", folder]) {
        const error = yield* Effect.flip(life(path, () => Effect.void))
        assert.strictEqual(error._tag, "LedgerUnavailable", path)
        assert.include(error.message, path)
        assert.include(error.message, "the server's user may write")
      }
    }))

  it.effect("is the only file left after closing, but for the lock's", () =>
    Effect.gen(function*() {
      const path = yield* newPath
      yield* life(
        path,
        ({ commit, digest }) => Effect.andThen(commit([plainChunk(three, 1, 100)]), digest(three))
      )
      assert.isFalse(existsSync(`${path}-wal`))
      assert.isFalse(existsSync(`${path}-shm`))
      assert.deepStrictEqual(query(path, "SELECT count(*) FROM bet"), [[100]])
    }))
})

describe("the SQLite ledger", () => {
  it.effect("is held by one process and lets operators read", () =>
    Effect.gen(function*() {
      const path = yield* newPath
      yield* life(path, ({ commit }) =>
        Effect.gen(function*() {
          yield* commit([plainChunk(three, 1, 1)])
          const error = yield* Effect.flip(life(path, () => Effect.void))
          assert.strictEqual(error._tag, "LedgerInUse")
          assert.deepStrictEqual(query(path, "SELECT count(*) FROM bet"), [[1]])
          yield* commit([plainChunk(three, 2, 1)])
        }))
    }))

  it.effect(
    "keeps everything it has acknowledged when its process is killed, and is free at once",
    () =>
      Effect.gen(function*() {
        const path = yield* newPath
        for (let round = 0; round < 3; round++) {
          const { child, ended, lines } = yield* startHolder("hold", path)
          yield* Effect.promise(() => waitUntil("20 groups stored", () => lines.length > 20))
          const refused = yield* Effect.flip(life(path, () => Effect.void))
          assert.strictEqual(refused._tag, "LedgerInUse")
          child.kill("SIGKILL")
          yield* Effect.promise(() => ended)
          const acknowledged = Number(lines.findLast((line) => /^\d+$/.test(line)))
          const record = yield* life(path, (ledger) =>
            Effect.gen(function*() {
              const found = yield* standingOf(ledger, three)
              const { seq } = found
              for (let each = 1; each <= seq; each++) {
                const stored = yield* ledger.chunkAt(three, each)
                assert.deepStrictEqual(stored.valueOrUndefined, plainChunk(three, each, each % 50))
              }
              return found
            }))
          assert.isAtLeast(record.seq, acknowledged)
          // Groups of three are stored whole or not at all.
          assert.strictEqual((record.seq) % 3, 0)
        }
      }),
    60_000
  )

  it.effect("is unavailable while another program holds the file, and goes on afterwards", () =>
    Effect.gen(function*() {
      const path = yield* newPath
      yield* life(path, ({ commit, holdDraw }) =>
        Effect.gen(function*() {
          yield* commit([plainChunk(three, 1, 1)])
          const other = new DatabaseSync(path)
          other.exec("BEGIN IMMEDIATE")
          const group = [plainChunk(three, 2, 1, true), plainChunk(five, 1, 1, true)]
          const error = yield* Effect.flip(commit(group))
          assert.deepInclude(error, { _tag: "LedgerUnavailable", operation: "commit" })
          other.exec("ROLLBACK")
          yield* commit(group)
          other.exec("BEGIN IMMEDIATE")
          assert.strictEqual((yield* Effect.flip(holdDraw)).operation, "holdDraw")
          other.exec("ROLLBACK")
          other.close()
          yield* holdDraw
        }), { busyTimeoutMs: 20 })
      assert.deepStrictEqual(query(path, "SELECT count(*) FROM bet"), [[3]])
    }))

  it.effect("stores nothing of a group that fails half way, and goes on afterwards", () =>
    Effect.gen(function*() {
      const path = yield* newPath
      const meddle = (sql: string) => {
        const db = new DatabaseSync(path)
        db.exec(sql)
        db.close()
      }
      yield* life(path, ({ commit, digest }) =>
        Effect.gen(function*() {
          yield* commit([plainChunk(three, 1, 1)])
          meddle(`CREATE TRIGGER fault BEFORE INSERT ON chunk WHEN NEW.seq = 3
            BEGIN SELECT RAISE(ABORT, 'a fault'); END`)
          const exit = yield* Effect.exit(
            commit([plainChunk(three, 2, 1), plainChunk(three, 3, 1), plainChunk(three, 4, 1)])
          )
          assert.isTrue(Exit.isFailure(exit))
          meddle("DROP TRIGGER fault")
          yield* commit([plainChunk(three, 2, 5)])
          assert.deepInclude(yield* digest(three), { seq: 2, bets: 6 })
        }))
      assert.deepStrictEqual(query(path, "SELECT seq, bets FROM chunk"), [[1, 1], [2, 5]])
    }))

  it.effect("stores nothing of a group that the disk has no room for, and goes on with one that fits", () =>
    Effect.gen(function*() {
      const path = yield* newPath
      // The largest file that the process may write: 4096 units of 512 bytes.
      const { ended, lines } = yield* startHolder(
        "overfill",
        path,
        "ulimit -f 4096;",
        String(8 * 1024 * 1024)
      )
      assert.strictEqual(yield* Effect.promise(() => ended), 0)
      assert.strictEqual(lines[0], "opened")
      assert.match(lines[1] ?? "", /^\d+ LedgerUnavailable$/)
      assert.strictEqual(lines[2], "1 Stored")
      const sold = yield* life(path, (ledger) => standingOf(ledger, three))
      assert.deepStrictEqual(sold, { seq: 1, bets: 1, finished: false })
    }))

  it.effect("dies when its thread ends by itself, at once and from then on", () =>
    Effect.gen(function*() {
      const entry = new URL("data:text/javascript,setTimeout(() => process.exit(3), 20)")
      const thread = new LedgerThread<WriterRequest, WriterReply>(entry, {})
      const draw = thread.call((id) => ({ _tag: "HoldDraw", id }))
      for (const _ of ["waiting", "later"]) {
        const exit = yield* Effect.exit(draw)
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      }
      yield* thread.close((id) => ({ _tag: "Close", id, unused: false }))
    }))

  it.effect("begins anew in a copy of the file as of any moment between commits", () =>
    Effect.gen(function*() {
      const path = yield* newPath
      const copy = join(yield* temporaryFolder, "copy.sqlite")
      yield* life(path, ({ commit }) =>
        Effect.gen(function*() {
          yield* commit([plainChunk(three, 1, 10), plainChunk(three, 2, 10)])
          copyFileSync(path, copy)
          copyFileSync(`${path}-wal`, `${copy}-wal`)
        }))
      const { bets } = yield* life(copy, (ledger) => standingOf(ledger, three))
      assert.strictEqual(bets, 20)
    }))
})
