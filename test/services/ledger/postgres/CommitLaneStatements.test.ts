/** What the lane writes, as PostgreSQL reads it. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { hash } from "node:crypto"
import { AgencyId } from "../../../../src/domain/Agency.ts"
import { Epoch } from "../../../../src/domain/Claim.ts"
import type { LedgerChunk } from "../../../../src/services/ledger/BetLedger.ts"
import { chunkChecksum } from "../../../../src/services/ledger/ChunkChecksum.ts"
import { CommitLaneSession } from "../../../../src/services/ledger/postgres/CommitLaneSession.ts"
import {
  storeMessages,
  storeStatement
} from "../../../../src/services/ledger/postgres/CommitLaneStatements.ts"
import { laneServer, LaneTrial, linkTo } from "../../../support/LaneTrial.ts"
import { Postgres } from "../../../support/Postgres.ts"

const mebibyte = 1024 * 1024
const utf8 = new TextEncoder()
const positive = Schema.Int.check(
  Schema.isBetween({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })
)

/** Whatever fits into the columns. */
const AnyChunk = Schema.Struct({
  agency: AgencyId,
  seq: positive,
  epoch: Epoch,
  last: Schema.Boolean,
  bets: Schema.Array(
    Schema.Struct({
      text: Schema.String.check(Schema.isMaxLength(40)),
      number: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9999 }))
    })
  ).check(Schema.isMaxLength(40)),
  before: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 52 }))
})

const chunkOf = (
  { agency, before, bets, epoch, last, seq }: typeof AnyChunk.Type
): LedgerChunk => ({
  agency,
  seq,
  epoch,
  last,
  bets: bets.length,
  total: before + bets.length,
  numbers: Uint8Array.from(bets.flatMap(({ number }) => [number >> 8, number & 0xff])),
  body: utf8.encode(bets.map(({ text }) => `${text.replaceAll("\0", "0")}\n`).join(""))
})

/** Of this many bytes in two-byte characters and a line feed. */
const largeChunk = (id: number, bytes: number): LedgerChunk => ({
  agency: AgencyId.make(id),
  seq: 1,
  epoch: Epoch.make(1),
  last: false,
  bets: 1,
  total: 1,
  numbers: Uint8Array.from([1, id % 256]),
  body: utf8.encode(`${"ñ".repeat(bytes / 2 - 1)}x\n`)
})

/** A row as text, with bytes in hexadecimal. */
const columns = `concat_ws('|', agency, seq, epoch, last, bets, total, checksum,
  encode(numbers, 'hex'), md5(body), octet_length(body)) AS row`

const rowOf = (
  { agency, bets, body, epoch, last, numbers, seq, total }: LedgerChunk
): string => {
  const checksum = chunkChecksum(agency, seq, last ? 1 : 0, bets, numbers, body)
  const hex = Buffer.from(numbers).toString("hex")
  return [
    agency,
    seq,
    epoch,
    last ? "t" : "f",
    bets,
    total,
    checksum,
    hex,
    hash("md5", body),
    body.length
  ]
    .join("|")
}

describe("a group", () => {
  let postgres: Postgres
  beforeAll(async () => {
    postgres = await Postgres.start()
  })
  afterAll(() => postgres[Symbol.asyncDispose]())

  const at = { lottery: 1, server: Buffer.from(laneServer) }

  /** Stores each group through one session, and gives what is then there: the rows, and the finished agencies. */
  const storing = Effect.gen(function*() {
    const trial = yield* LaneTrial.begin(postgres, 1)
    const session = yield* CommitLaneSession.open(linkTo(trial.url), [storeStatement], 60_000)
    return (group: ReadonlyArray<LedgerChunk>) =>
      Effect.gen(function*() {
        yield* trial.query("DELETE FROM chunk")
        yield* trial.query("DELETE FROM agency")
        yield* trial.query(
          `INSERT INTO agency (lottery, agency, epoch, server)
           SELECT 1, *, $3 FROM unnest($1::bigint[], $2::bigint[])`,
          [
            group.map(({ agency }) => BigInt(agency)),
            group.map(({ epoch }) => BigInt(epoch)),
            laneServer
          ]
        )
        const { rows } = yield* session.ask(storeMessages(session.messages, at, group))
        const stored = yield* trial.query(`SELECT ${columns} FROM chunk`)
        const finished = yield* trial.query("SELECT agency FROM agency WHERE finished")
        return {
          returned: rows.toSorted((a, b) => a - b),
          stored: stored.map(({ row }) => String(row)).toSorted(),
          finished: finished.map(({ agency }) => Number(agency)).toSorted((a, b) => a - b)
        }
      })
  })

  const expected = (group: ReadonlyArray<LedgerChunk>) => {
    const ids = (of: ReadonlyArray<LedgerChunk>) =>
      of.map(({ agency }) => Number(agency)).toSorted((a, b) => a - b)
    return {
      returned: ids(group),
      stored: group.map(rowOf).toSorted(),
      finished: ids(group.filter(({ last }) => last))
    }
  }

  it.live("is stored as it was given, whatever its chunks hold", () =>
    Effect.gen(function*() {
      const store = yield* storing
      const groups = Arbitrary.schema(Schema.Array(AnyChunk).check(Schema.isMaxLength(20)))
      const check = yield* Arbitrary.checkEffect(groups, (drawn) =>
        Effect.gen(function*() {
          const group = [...new Map(drawn.map((one) => [one.agency, chunkOf(one)])).values()]
          assert.deepStrictEqual(yield* store(group), expected(group))
          return true
        }), { runs: 60 })
      assert.strictEqual(check._tag, "Passed", Arbitrary.formatCheckFailure(check) ?? "")
    }).pipe(Effect.scoped))

  const sizes: ReadonlyArray<readonly [string, ReadonlyArray<number>]> = [
    ["1024 chunks", Array.from({ length: 1024 }, (_, index) => 20 + 8 * index)],
    ["a body of 4 MiB", [4 * mebibyte]],
    ["8 MiB in bodies of all sizes", [2, 4, 1022, 64 * 1024, 4 * mebibyte, 3 * mebibyte, mebibyte]],
    ["one small chunk after them", [20]]
  ]
  it.live("is stored as it was given, whatever its size", () =>
    Effect.gen(function*() {
      const store = yield* storing
      for (const [name, bytes] of sizes) {
        const group = bytes.map((size, index) => largeChunk(index + 1, size))
        assert.deepStrictEqual(yield* store(group), expected(group), name)
      }
    }).pipe(Effect.scoped))
})
