/** The writer alone, without its thread: what others do to its file meanwhile, and what a crash leaves of it. */
import { assert, describe, it } from "@effect/vitest"
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { AgencyId } from "../../../../src/domain/Agency.ts"
import type { StoredChunk } from "../../../../src/services/ledger/BetLedger.ts"
import { chunkChecksum } from "../../../../src/services/ledger/ChunkChecksum.ts"
import { encodeGroup } from "../../../../src/services/ledger/sqlite/GroupBuffer.ts"
import { type Failure, toFailure } from "../../../../src/services/ledger/sqlite/LedgerProblem.ts"
import { LedgerReader } from "../../../../src/services/ledger/sqlite/LedgerReader.ts"
import { LedgerWriter } from "../../../../src/services/ledger/sqlite/LedgerWriter.ts"
import { openForWriting } from "../../../../src/services/ledger/sqlite/OpenLedger.ts"
import {
  type WriterConfig,
  writerDefaults
} from "../../../../src/services/ledger/sqlite/WriterConfig.ts"
import { plainChunk } from "../../../support/LedgerChunks.ts"
import { query } from "../../../support/LedgerFile.ts"

const one = AgencyId.make(1)
const two = AgencyId.make(2)
const three = AgencyId.make(3)

class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "loteria-writer-"))
  readonly ledger = join(this.path, "ledger.sqlite");

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true })
  }
}

const configOf = (path: string, rest: Partial<WriterConfig> = {}): WriterConfig => ({
  ...writerDefaults,
  path,
  roster: "3",
  agencies: [one, two, three],
  winningNumber: 4242,
  busyTimeoutMs: 20,
  ...rest
})

/** A writer that is closed at the end, whatever has become of it. */
class Held implements Disposable {
  readonly writer: LedgerWriter

  constructor(path: string, rest: Partial<WriterConfig> = {}) {
    this.writer = new LedgerWriter(configOf(path, rest))
  }

  commit(...group: ReadonlyArray<StoredChunk>): void {
    this.writer.commit(encodeGroup(group, undefined))
  }

  seqs(): ReadonlyArray<number | undefined> {
    return [one, two, three].map((agency) => this.writer.agencies.get(agency)?.seq)
  }

  [Symbol.dispose](): void {
    this.writer.close()
  }
}

/** Why the work failed. */
const failureOf = (work: () => unknown): Failure => {
  try {
    work()
  } catch (error) {
    return toFailure(error)
  }
  return assert.fail("it went through")
}

const meddle = (path: string, sql: string): void => {
  const db = new DatabaseSync(path)
  try {
    db.exec(sql)
  } finally {
    db.close()
  }
}

/** A chunk's row as another writer would store it. */
const insertRow = (path: string, id: number, chunk: StoredChunk): void => {
  const { agency, bets, body, numbers, seq } = chunk
  const last = chunk.last ? 1 : 0
  const db = new DatabaseSync(path)
  db.prepare(
    "INSERT INTO chunk (id, agency, seq, last, bets, numbers, body, checksum) VALUES (?, ?, ?, ?, ?, ?, CAST(? AS TEXT), ?)"
  ).run(
    id,
    agency,
    seq,
    last,
    bets,
    numbers,
    body,
    chunkChecksum(agency, seq, last, bets, numbers, body)
  )
  db.close()
}

/** The ledger as a crash at this moment would leave it. */
const crashed = (from: string, to: string): string => {
  for (const rest of ["", "-wal", ".mark"]) {
    if (existsSync(from + rest)) copyFileSync(from + rest, to + rest)
  }
  return to
}

describe("a row of another writer in the ledger", () => {
  it.each([
    ["of another agency", plainChunk(two, 1, 3)],
    ["of the same agency and seq, with other bets", plainChunk(one, 2, 3)]
  ])("%s is not taken for the group that was to be stored there", (_, foreign) => {
    using folder = new Folder()
    using held = new Held(folder.ledger)
    held.commit(plainChunk(one, 1, 1))
    insertRow(folder.ledger, 2, foreign)
    const failure = failureOf(() => held.commit(plainChunk(one, 2, 2)))
    assert.strictEqual(failure.kind, "Defect")
    assert.include(failure.kind === "Defect" ? failure.message : "", "another program")
    assert.deepStrictEqual(held.seqs(), [1, 0, 0])
    assert.deepStrictEqual(query(folder.ledger, "SELECT id, agency, seq, bets FROM chunk"), [
      [1, 1, 1, 1],
      [2, foreign.agency, foreign.seq, 3]
    ])
  })

  it("ends the writer also where it is not in the way, and a draw of another isn't taken for its own", () => {
    using folder = new Folder()
    using held = new Held(folder.ledger)
    held.commit(...[one, two, three].map((agency) => plainChunk(agency, 1, 0, true)))
    meddle(
      folder.ledger,
      "INSERT INTO draw (id, winning_number, winners, checksum) VALUES (1, 1, 0, 0)"
    )
    const failure = failureOf(() => held.writer.holdDraw())
    assert.strictEqual(failure.kind, "Defect")
    assert.isUndefined(held.writer.draw)
  })
})

/** Chunks 1 and 2 of agency one change places: each row is still what was stored, but for its id. */
const swapFirstTwo =
  "UPDATE chunk SET id = 9 WHERE id = 1; UPDATE chunk SET id = 1 WHERE id = 2; UPDATE chunk SET id = 2 WHERE id = 9"

describe("chunks that changed places", () => {
  it("are not read, and no draw is held over them", () => {
    using folder = new Folder()
    using held = new Held(folder.ledger)
    held.commit(plainChunk(one, 1, 1), plainChunk(one, 2, 1, true))
    held.commit(plainChunk(two, 1, 0, true), plainChunk(three, 1, 0, true))
    const reader = new LedgerReader({ path: folder.ledger, busyTimeoutMs: 20 })
    try {
      assert.strictEqual(reader.chunkAt(one, 1)?.bets, 1)
      meddle(folder.ledger, swapFirstTwo)
      const notInPlace = (seq: number) =>
        `chunk ${seq} of agency 1 is not in its place: the file is damaged; stop the server and restore the ledger from a backup`
      assert.deepStrictEqual(failureOf(() => reader.chunkAt(one, 1)), {
        kind: "Unreadable",
        problem: notInPlace(1)
      })
      assert.deepStrictEqual(failureOf(() => held.writer.holdDraw()), {
        kind: "Unreadable",
        problem: notInPlace(2)
      })
      assert.deepStrictEqual(query(folder.ledger, "SELECT * FROM draw"), [])
    } finally {
      reader.close()
    }
  })
})

describe("a snapshot", () => {
  it("is of the transaction of its group: neither is stored without the other", () => {
    using folder = new Folder()
    const covered = "SELECT chunk FROM snapshot_end"
    using held = new Held(folder.ledger, { snapshotChunks: 3 })
    held.commit(plainChunk(one, 1, 1), plainChunk(two, 1, 1))
    for (const table of ["chunk", "snapshot"]) {
      meddle(
        folder.ledger,
        `CREATE TRIGGER fault BEFORE INSERT ON ${table} WHEN NEW.seq = 2
          BEGIN SELECT RAISE(ABORT, 'a fault'); END`
      )
      assert.throws(() => held.commit(plainChunk(one, 2, 1)))
      meddle(folder.ledger, "DROP TRIGGER fault")
      assert.deepStrictEqual(query(folder.ledger, covered), [[0]], table)
      assert.deepStrictEqual(query(folder.ledger, "SELECT * FROM snapshot"), [], table)
      assert.deepStrictEqual(query(folder.ledger, "SELECT max(id) FROM chunk"), [[2]], table)
    }
    held.commit(plainChunk(one, 2, 1))
    assert.deepStrictEqual(query(folder.ledger, covered), [[3]])
  })

  it("covers an agency that sent before a crash and is idle after it, also after the next crash", () => {
    using folder = new Folder()
    const options = { snapshotChunks: 4 }
    const first = join(folder.path, "first.sqlite")
    const second = join(folder.path, "second.sqlite")
    {
      using held = new Held(folder.ledger, options)
      held.commit(plainChunk(one, 1, 2), plainChunk(two, 1, 1))
      crashed(folder.ledger, first)
    }
    {
      using held = new Held(first, options)
      held.commit(plainChunk(two, 2, 1))
      held.commit(plainChunk(two, 3, 1))
      assert.deepStrictEqual(query(first, "SELECT chunk FROM snapshot_end"), [[4]])
      crashed(first, second)
    }
    using held = new Held(second, options)
    assert.deepStrictEqual(held.seqs(), [1, 3, 0])
    held.commit(plainChunk(one, 2, 1))
  })
})

describe("a ledger whose file can't have a write-ahead log", () => {
  it("is refused, with what to do, and not begun", () => {
    using folder = new Folder()
    // This way to open a file shares no memory between processes, as on a network file system.
    const path = `file:${folder.ledger}?vfs=unix-dotfile`
    const failure = failureOf(() => openForWriting(configOf(path)).close())
    assert.strictEqual(failure.kind, "Unavailable")
    const message = failure.kind === "Unavailable" ? failure.message : ""
    assert.include(message, "can't have a write-ahead log")
    assert.include(message, "Put the ledger on a disk of this machine")
    assert.strictEqual(existsSync(folder.ledger) && statSync(folder.ledger).size > 0, false)
  })
})

describe("a ledger that another central has opened although it is locked", () => {
  /** As if the lock didn't hold: it was removed, or the file system has none. */
  const openedAgain = (folder: Folder): Held => {
    rmSync(`${folder.ledger}.lock`)
    return new Held(folder.ledger)
  }

  it("gets no group, draw or snapshot of the first any more, which is told so and ends", () => {
    using folder = new Folder()
    const first = new Held(folder.ledger)
    first.commit(plainChunk(one, 1, 1))
    using second = openedAgain(folder)
    second.commit(plainChunk(one, 2, 2, true))
    const failure = failureOf(() => first.commit(plainChunk(two, 1, 1)))
    assert.strictEqual(failure.kind, "Defect")
    assert.include(
      failure.kind === "Defect" ? failure.message : "",
      "another central has opened this ledger"
    )
    const stored = "SELECT agency, seq FROM chunk"
    assert.deepStrictEqual(query(folder.ledger, stored), [[1, 1], [1, 2]])
    second.commit(plainChunk(two, 1, 0, true), plainChunk(three, 1, 0, true))
    second.writer.holdDraw()
    first.writer.close()
    assert.deepStrictEqual(query(folder.ledger, "SELECT * FROM snapshot"), [])
    assert.deepStrictEqual(query(folder.ledger, "SELECT count(*) FROM draw"), [[1]])
  })

  it("gets no draw of the first that missed what the second stored", () => {
    using folder = new Folder()
    using first = new Held(folder.ledger)
    first.commit(...[one, two, three].map((agency) => plainChunk(agency, 1, 0, true)))
    using _ = openedAgain(folder)
    assert.strictEqual(failureOf(() => first.writer.holdDraw()).kind, "Defect")
    assert.deepStrictEqual(query(folder.ledger, "SELECT count(*) FROM draw"), [[0]])
  })
})

describe("a ledger that is not in its place any more", () => {
  const displacements: ReadonlyArray<
    readonly [what: string, away: (path: string) => void, back: (path: string) => void]
  > = [
    [
      "removed and put back",
      (path) => renameSync(path, `${path}.away`),
      (path) => renameSync(`${path}.away`, path)
    ],
    ["replaced by another", (path) => {
      renameSync(path, `${path}.away`)
      writeFileSync(path, "another")
    }, (path) => renameSync(`${path}.away`, path)],
    [
      "with its log removed",
      (path) => renameSync(`${path}-wal`, `${path}-away`),
      (path) => renameSync(`${path}-away`, `${path}-wal`)
    ],
    [
      "with a second name",
      (path) => linkSync(path, `${path}.second`),
      (path) => rmSync(`${path}.second`)
    ]
  ]

  it.each(displacements)(
    "%s stores nothing meanwhile, and goes on where it was",
    (_, away, back) => {
      using folder = new Folder()
      using held = new Held(folder.ledger, { snapshotChunks: 2 })
      held.commit(plainChunk(one, 1, 1))
      away(folder.ledger)
      // The first finds out after its commit, the second knows.
      for (const bets of [2, 3]) {
        const failure = failureOf(() =>
          held.commit(plainChunk(one, 2, bets), plainChunk(two, 1, 1))
        )
        assert.strictEqual(failure.kind, "Displaced")
      }
      assert.deepStrictEqual(held.seqs(), [1, 0, 0])
      assert.isDefined(held.writer.lookAtPlace())
      back(folder.ledger)
      assert.deepStrictEqual(query(folder.ledger, "SELECT agency, seq, bets FROM chunk"), [[
        1,
        1,
        1
      ]])
      assert.deepStrictEqual(query(folder.ledger, "SELECT agency, seq, bets FROM agency"), [
        [1, 1, 1],
        ...query(folder.ledger, "SELECT agency, seq, bets FROM snapshot WHERE seq = 0")
      ])
      held.commit(plainChunk(one, 2, 4, true), plainChunk(two, 1, 0, true))
      held.commit(plainChunk(three, 1, 0, true))
      away(folder.ledger)
      assert.strictEqual(failureOf(() => held.writer.holdDraw()).kind, "Displaced")
      back(folder.ledger)
      assert.deepStrictEqual(query(folder.ledger, "SELECT count(*) FROM draw"), [[0]])
      held.writer.holdDraw()
      assert.deepStrictEqual(query(folder.ledger, "SELECT sum(bets) FROM chunk"), [[5]])
    }
  )

  it.each([["an older copy of it", false], ["another one", true]])(
    "but was written over by %s stores nothing any more, also when it grows again",
    (_, other) => {
      using folder = new Folder()
      const copy = join(folder.path, "copy.sqlite")
      {
        using held = new Held(other ? copy : folder.ledger)
        held.commit(plainChunk(one, 1, 1))
      }
      if (!other) copyFileSync(folder.ledger, copy)
      const held = new Held(folder.ledger)
      const seq = other ? 1 : 2
      held.commit(plainChunk(one, seq, 1))
      assert.isUndefined(held.writer.lookAtPlace())
      copyFileSync(copy, folder.ledger)
      assert.include(held.writer.lookAtPlace() ?? "", "was overwritten by another program")
      const failure = failureOf(() => held.commit(plainChunk(one, seq + 1, 1)))
      assert.strictEqual(failure.kind, "Displaced")
      writeFileSync(folder.ledger, new Uint8Array(1_000_000), { flag: "a" })
      assert.isDefined(held.writer.lookAtPlace())
      held.writer.close()
    }
  )

  it("is missed at the next start, also after it was closed in good order", () => {
    using folder = new Folder()
    {
      using held = new Held(folder.ledger)
      held.commit(plainChunk(one, 1, 1))
      rmSync(folder.ledger)
    }
    const failure = failureOf(() => new Held(folder.ledger))
    assert.strictEqual(failure.kind, "Unreadable")
    const problem = failure.kind === "Unreadable" ? failure.problem : ""
    assert.include(problem, "1 chunks were acknowledged and 0 are there")
  })
})
