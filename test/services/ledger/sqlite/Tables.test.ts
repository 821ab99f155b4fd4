/** The tables of a ledger's file: those of an older version, and what is kept of agencies that were told. */
import { assert, describe, it } from "@effect/vitest"
import { DatabaseSync } from "node:sqlite"
import { AgencyId } from "../../../../src/domain/Agency.ts"
import { checksumWithId, defineChecksums } from "../../../../src/services/ledger/sqlite/Checksum.ts"
import { LedgerProblem } from "../../../../src/services/ledger/sqlite/LedgerProblem.ts"
import { LedgerReader } from "../../../../src/services/ledger/sqlite/LedgerReader.ts"
import { LedgerWriter } from "../../../../src/services/ledger/sqlite/LedgerWriter.ts"
import { olderVersion } from "../../../../src/services/ledger/sqlite/OpenLedger.ts"
import { applicationId, migrations } from "../../../../src/services/ledger/sqlite/Tables.ts"
import { writerDefaults } from "../../../../src/services/ledger/sqlite/WriterConfig.ts"
import { plainChunk } from "../../../support/LedgerChunks.ts"
import { TemporaryFolder } from "../../../support/TemporaryFolder.ts"

const [one, two, three] = [AgencyId.make(1), AgencyId.make(2), AgencyId.make(3)]

/** Opens the ledger for writing, uses it, and closes it. */
const withWriter = <A>(path: string, use: (writer: LedgerWriter) => A): A => {
  const agencies = [one, two, three]
  const writer = new LedgerWriter({
    ...writerDefaults,
    path,
    roster: "3",
    agencies,
    winningNumber: 4242
  })
  try {
    return use(writer)
  } finally {
    writer.close()
  }
}

/** What is said of the damage; of an undamaged ledger nothing. */
const problemOf = (work: () => unknown): string | undefined => {
  try {
    work()
  } catch (error) {
    if (error instanceof LedgerProblem && error.failure.kind === "Unreadable") {
      return error.failure.problem
    }
    throw error
  }
  return undefined
}

const readChunk = (path: string, seq: number) => {
  const reader = new LedgerReader({ path, busyTimeoutMs: 20 })
  try {
    return reader.chunkAt(one, seq)
  } finally {
    reader.close()
  }
}

const meddle = (path: string, sql: string): void => {
  const db = new DatabaseSync(path)
  db.exec(sql)
  db.close()
}

const toldOf = (path: string) => withWriter(path, ({ told }) => [...told.values()])

/** A ledger as version 5 wrote it: five chunks of agency one, and two agencies that were told. */
const writeVersionFive = (path: string): void => {
  const db = new DatabaseSync(path)
  defineChecksums(db)
  db.function("draw_name_of_file", () => "old")
  for (const migration of migrations.slice(0, 5)) migration(db)
  db.exec(`
    PRAGMA application_id = ${applicationId}; PRAGMA user_version = 5;
    INSERT INTO lottery (id, roster, winning_number, draw, checksum)
      VALUES (1, '3', 4242, 'old', row_checksum('3', 4242, 'old'));
    INSERT INTO told SELECT agency, how, 'then', '::1', 9, row_checksum(agency, how, 'then', '::1', 9)
      FROM (SELECT 1 AS agency, 'confirmed' AS how UNION ALL SELECT 2, 'sent');
  `)
  const insert = db.prepare(
    "INSERT INTO chunk (id, agency, seq, last, bets, numbers, body, checksum) VALUES (?, ?, ?, 0, ?, ?, CAST(? AS TEXT), ?)"
  )
  for (let seq = 1; seq <= 5; seq++) {
    const { agency, bets, body, numbers } = plainChunk(one, seq, seq)
    const checksum = checksumWithId(seq, agency, seq, 0, bets, numbers, body)
    insert.run(seq, agency, seq, bets, numbers, body, checksum)
  }
  db.close()
}

describe("a ledger of version 5", () => {
  it("is brought up to date, and what was damaged before stays damaged", () => {
    using folder = new TemporaryFolder()
    const path = folder.join("ledger.sqlite")
    writeVersionFive(path)
    // The fourth was written over; the last isn't where it was stored, which only its checksum tells.
    meddle(
      path,
      "UPDATE chunk SET numbers = zeroblob(8) WHERE id = 4; UPDATE chunk SET id = 6 WHERE id = 5"
    )
    assert.strictEqual(problemOf(() => readChunk(path, 1)), olderVersion)
    withWriter(path, ({ agencies }) => {
      assert.strictEqual(agencies.get(one)?.seq, 5)
      for (let seq = 1; seq <= 3; seq++) {
        const { bets, body, last, numbers } = plainChunk(one, seq, seq)
        assert.deepStrictEqual(readChunk(path, seq), { bets, body, last, numbers })
      }
      for (const seq of [4, 5]) {
        assert.include(problemOf(() => readChunk(path, seq)), "is not what was stored")
      }
    })
  })

  it("keeps who was told: those that confirmed it were served", () => {
    using folder = new TemporaryFolder()
    const path = folder.join("ledger.sqlite")
    writeVersionFive(path)
    const record = { at: "then", address: "::1", port: 9 }
    assert.deepStrictEqual(toldOf(path), [
      { ...record, agency: 1, how: "confirmed", served: true },
      { ...record, agency: 2, how: "sent", served: false }
    ])
  })

  it("with a damaged record of who was told is refused, as before", () => {
    using folder = new TemporaryFolder()
    const path = folder.join("ledger.sqlite")
    writeVersionFive(path)
    meddle(path, "UPDATE told SET told_at = 'now' WHERE agency = 2")
    assert.include(
      problemOf(() => toldOf(path)),
      "whether agency 2 was told its winners is not what was stored"
    )
  })
})

describe("that an agency was told", () => {
  it("is kept: the first that is sure, else the last, and once it was served it stays so", () => {
    using folder = new TemporaryFolder()
    const path = folder.join("ledger.sqlite")
    const record = { address: "::1", port: 9 }
    const sent = { ...record, agency: 1, how: "sent", at: "1", served: true } as const
    const cutOff = { ...record, agency: 1, how: "sent", at: "2", served: false } as const
    const confirmed = { ...record, agency: 2, how: "confirmed", at: "1", served: true } as const
    const again = { ...record, agency: 2, how: "sent", at: "2", served: false } as const
    withWriter(path, (writer) => {
      writer.noteTold([sent, confirmed])
      writer.noteTold([cutOff, again])
      // What is written a second time changes nothing.
      writer.noteTold([cutOff, again])
    })
    assert.deepStrictEqual(toldOf(path), [{ ...cutOff, served: true }, confirmed])
  })

  it("is kept anew over a record that was damaged meanwhile", () => {
    using folder = new TemporaryFolder()
    const path = folder.join("ledger.sqlite")
    const record = { address: "::1", port: 9, how: "sent", served: false } as const
    const first = { ...record, agency: 1, at: "2" }
    const other = { ...record, agency: 2, at: "2" }
    withWriter(path, (writer) => {
      writer.noteTold([{ ...first, at: "1" }])
      meddle(path, "UPDATE told SET how = 'confirmed', served = 1")
      writer.noteTold([first, other])
    })
    assert.deepStrictEqual(toldOf(path), [first, other])
  })
})
