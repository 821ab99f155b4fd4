/**
 * Ledgers whose bytes are not the ones that were written: flipped, cut off, or gone with the log. Whatever is damaged, it
 * is reported or it doesn't matter: nothing that is read differs from what was stored.
 */
import { assert, describe, it } from "@effect/vitest"
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { AgencyId } from "../../src/domain/Agency.ts"
import { encodeGroup } from "../../src/services/ledger/sqlite/GroupBuffer.ts"
import { LedgerProblem } from "../../src/services/ledger/sqlite/LedgerProblem.ts"
import { LedgerReader } from "../../src/services/ledger/sqlite/LedgerReader.ts"
import { LedgerWriter } from "../../src/services/ledger/sqlite/LedgerWriter.ts"
import { migrations } from "../../src/services/ledger/sqlite/Tables.ts"
import { writerDefaults } from "../../src/services/ledger/sqlite/WriterConfig.ts"
import { Random } from "../simulation/Random.ts"
import { betAt, chunkOf } from "../support/LedgerChunks.ts"
import { TemporaryFolder } from "../support/TemporaryFolder.ts"

const roster = [1, 2, 3].map((id) => AgencyId.make(id))
const winningNumber = 4242
const damagedFiles = 100

const configOf = (path: string) => ({
  ...writerDefaults,
  path,
  roster: "3",
  agencies: roster,
  winningNumber,
  draw: "nocturna",
  pageBytes: 4096,
  snapshotChunks: 10
})

/** Twelve chunks of each agency, some larger than a page, the last one finishing it. */
const fill = (writer: LedgerWriter): void => {
  for (let seq = 1; seq <= 12; seq++) {
    const group = roster.map((agency) => {
      const bets = Array.from(
        { length: (seq * 7 * agency) % 90 },
        (_, index) =>
          betAt(agency * 10_000 + seq * 100 + index, index === 3 ? winningNumber : undefined)
      )
      return chunkOf(agency, seq, bets, seq === 12)
    })
    writer.commit(encodeGroup(group, undefined))
  }
}

/** Everything that a ledger can be asked, each answer on its own: damage of one place must not hide another's. */
const questions = (path: string): ReadonlyMap<string, () => unknown> => {
  const all = new Map<string, () => unknown>()
  const reading = <A>(ask: (reader: LedgerReader) => A) => () => {
    const reader = new LedgerReader({ path, busyTimeoutMs: 0 })
    try {
      return ask(reader)
    } finally {
      reader.close()
    }
  }
  for (const agency of roster) {
    for (let seq = 1; seq <= 12; seq++) {
      all.set(`chunk ${seq} of ${agency}`, reading((reader) => reader.chunkAt(agency, seq)))
    }
    all.set(`bets of ${agency}`, reading((reader) => reader.readBets(agency, 1, 0, 1e6)))
  }
  all.set(
    "draw",
    () =>
      withWriter(path, (writer) => ({
        agencies: new Map(writer.agencies),
        drawName: writer.drawName,
        ...writer.holdDraw()
      }))
  )
  return all
}

const withWriter = <A>(path: string, ask: (writer: LedgerWriter) => A): A => {
  const writer = new LedgerWriter(configOf(path))
  try {
    return ask(writer)
  } finally {
    writer.close()
  }
}

interface Report {
  /** What went another way than it should. */
  readonly wrong: ReadonlyArray<string>
  readonly refused: number
}

/** Asks everything, and compares what is answered. */
const examine = (path: string, truth: ReadonlyMap<string, unknown>): Report => {
  const wrong: Array<string> = []
  let refused = 0
  for (const [what, ask] of questions(path)) {
    try {
      assert.deepStrictEqual(ask(), truth.get(what), what)
    } catch (error) {
      const reported = error instanceof LedgerProblem && error.failure.kind !== "InUse"
        || (error instanceof Error && "errcode" in error)
      if (reported) refused++
      else wrong.push(error instanceof Error ? error.message : String(error))
    }
  }
  return { wrong, refused }
}

const copyLedger = (from: string, to: string): void => {
  for (const rest of ["", "-wal", "-shm", ".mark"]) {
    rmSync(to + rest, { force: true })
    if (existsSync(from + rest) && rest !== "-shm") copyFileSync(from + rest, to + rest)
  }
}

const flip = (file: string, random: Random): string => {
  const bytes = readFileSync(file)
  const flips: Array<string> = []
  for (let count = random.integer(1, 3); count > 0; count--) {
    const at = random.integer(0, bytes.length - 1)
    const bit = 1 << random.integer(0, 7)
    bytes[at] = (bytes[at] ?? 0) ^ bit
    flips.push(`${at}^${bit}`)
  }
  writeFileSync(file, bytes)
  return flips.join(" ")
}

const truthOf = (path: string): ReadonlyMap<string, unknown> =>
  new Map([...questions(path)].map(([what, ask]) => [what, ask()]))

describe("a damaged ledger", () => {
  it.each([["before the draw", false], ["after the draw", true]] as const)(
    "with flipped bits, %s, is reported or answers what was stored",
    (_, drawn) => {
      using folder = new TemporaryFolder()
      const good = folder.join("good.sqlite")
      const copy = folder.join("copy.sqlite")
      withWriter(good, (writer) => {
        fill(writer)
        if (drawn) writer.holdDraw()
      })
      copyLedger(good, copy)
      const truth = truthOf(copy)
      let refusedFiles = 0
      for (let seed = 1; seed <= damagedFiles; seed++) {
        copyLedger(good, copy)
        const flips = flip(copy, new Random(seed))
        const { refused, wrong } = examine(copy, truth)
        assert.deepStrictEqual(wrong, [], `seed ${seed}: ${flips}`)
        if (refused > 0) refusedFiles++
      }
      // Most of the file is bets: flips that don't matter are few.
      assert.isAbove(refusedFiles, damagedFiles / 2)
    }
  )

  it("that is cut off anywhere is reported", () => {
    using folder = new TemporaryFolder()
    const good = folder.join("good.sqlite")
    const copy = folder.join("copy.sqlite")
    withWriter(good, fill)
    const bytes = readFileSync(good)
    const random = new Random(1)
    copyLedger(good, copy)
    const truth = truthOf(copy)
    for (let cut = 0; cut < 40; cut++) {
      copyLedger(good, copy)
      const length = random.integer(1, bytes.length - 1)
      writeFileSync(copy, bytes.subarray(0, length))
      const { refused, wrong } = examine(copy, truth)
      assert.deepStrictEqual(wrong, [], `cut at ${length}`)
      assert.isAbove(refused, 0, `cut at ${length}`)
    }
  })

  it("whose log lost what was acknowledged is refused, with both counts", () => {
    using folder = new TemporaryFolder()
    const good = folder.join("good.sqlite")
    const crashed = folder.join("crashed.sqlite")
    const copy = folder.join("copy.sqlite")
    // As after kill -9: the log holds everything.
    withWriter(good, (writer) => {
      fill(writer)
      copyLedger(good, crashed)
    })
    copyLedger(crashed, copy)
    const truth = truthOf(copy)
    const random = new Random(2)
    const log = readFileSync(`${crashed}-wal`)
    for (let round = 0; round < 40; round++) {
      copyLedger(crashed, copy)
      if (round % 2 === 0) flip(`${copy}-wal`, random)
      else writeFileSync(`${copy}-wal`, log.subarray(0, random.integer(0, log.length - 1)))
      const { wrong } = examine(copy, truth)
      assert.deepStrictEqual(wrong, [])
    }
    copyLedger(crashed, copy)
    rmSync(`${copy}-wal`)
    writeFileSync(`${copy}-wal`, log.subarray(0, log.length / 2))
    assert.throws(() => withWriter(copy, () => {}), LedgerProblem)
    try {
      withWriter(copy, () => {})
    } catch (error) {
      const failure = error instanceof LedgerProblem ? error.failure : undefined
      const problem = failure?.kind === "Unreadable" ? failure.problem : ""
      assert.match(problem, /^36 chunks were acknowledged and \d+ are there: the file is damaged/)
      assert.include(problem, `remove ${copy}.mark to continue`)
    }
    rmSync(`${copy}.mark`)
    withWriter(copy, (writer) => assert.isBelow(writer.agencies.get(1)?.seq ?? 0, 12))
  })

  it("that is gone from beside its mark is reported; another one under its name isn't damaged", () => {
    using folder = new TemporaryFolder()
    const path = folder.join("ledger.sqlite")
    const crashed = folder.join("crashed.sqlite")
    withWriter(path, (writer) => {
      fill(writer)
      copyLedger(path, crashed)
    })
    assert.isFalse(existsSync(`${path}.mark`))
    rmSync(crashed)
    rmSync(`${crashed}-wal`)
    assert.throws(() => withWriter(crashed, () => {}), LedgerProblem)
    const mark = readFileSync(`${crashed}.mark`, "utf8")
    writeFileSync(`${crashed}.mark`, mark.replace(/^\d/, "1"))
    rmSync(crashed, { force: true })
    withWriter(path, () => copyLedger(path, crashed))
    writeFileSync(`${crashed}.mark`, mark.replace(/^\d/, "1"))
    withWriter(crashed, ({ agencies }) => assert.strictEqual(agencies.get(1)?.seq, 12))
  })

  it("is told from one of the version without checksums, which gets them", () => {
    using folder = new TemporaryFolder()
    const path = folder.join("ledger.sqlite")
    withWriter(path, (writer) => {
      fill(writer)
      writer.holdDraw()
    })
    // From before draws had names too: it takes its file's.
    const old = folder.join("nocturna.sqlite")
    copyFileSync(path, old)
    const db = new DatabaseSync(old)
    db.exec(`
      DROP TABLE fence;
      ALTER TABLE chunk DROP COLUMN checksum; ALTER TABLE snapshot DROP COLUMN checksum;
      ALTER TABLE winner DROP COLUMN checksum; ALTER TABLE draw DROP COLUMN checksum;
      ALTER TABLE draw DROP COLUMN winners;
      DROP TABLE told;
      ALTER TABLE lottery DROP COLUMN draw; ALTER TABLE lottery DROP COLUMN checksum; PRAGMA user_version = 1
    `)
    db.close()
    assert.isAbove(migrations.length, 1)
    withWriter(old, () => {})
    assert.deepStrictEqual(truthOf(old), truthOf(path))
  })
})
