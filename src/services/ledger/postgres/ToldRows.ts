/** The table `told`: the agencies that were told their winners, by whichever server. services/draw/Told.ts writes it. */
import { Effect } from "effect"
import type { AgencyId } from "../../../domain/Agency.ts"
import type { ToldRecord } from "../../../domain/Draw.ts"
import { laterTold } from "../../../domain/LaterTold.ts"
import type { LedgerUnavailable } from "../BetLedger.ts"
import { rowChecksum } from "../RowChecksum.ts"
import { flag, integer, type Row, text } from "./Columns.ts"
import type { LinkPool } from "./Links.ts"
import { damaged } from "./SqlFailures.ts"

const readTold = `SELECT agency, how, told_at, address, port, served, checksum FROM told
  WHERE lottery = $1::bigint AND ($2::bigint[] IS NULL OR agency = ANY ($2::bigint[]))
  ORDER BY agency`

/** A row that another server has written meanwhile is left alone, and its agency not returned. */
const writeTold = `WITH given AS (
    SELECT * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::integer[],
      $7::boolean[], $8::bigint[], $9::bigint[])
      g (agency, how, told_at, address, port, served, checksum, before)
  ), changed AS (
    UPDATE told SET how = g.how, told_at = g.told_at, address = g.address, port = g.port,
      served = g.served, checksum = g.checksum
    FROM given g
    WHERE told.lottery = $1::bigint AND told.agency = g.agency AND told.checksum = g.before
    RETURNING told.agency
  ), added AS (
    INSERT INTO told (lottery, agency, how, told_at, address, port, served, checksum)
    SELECT $1::bigint, agency, how, told_at, address, port, served, checksum
    FROM given WHERE before = ${-1} ORDER BY agency
    ON CONFLICT DO NOTHING RETURNING agency
  )
  SELECT agency FROM changed UNION ALL SELECT agency FROM added`
/** In the place of the checksum of a row that isn't there. */
const noRow = -1n

/** An agency is told by one server at a time, or nearly so. */
const triesMax = 5

const checksumOf = ({ address, agency, at, how, port, served }: ToldRecord): number =>
  rowChecksum(agency, how, at, address, port, served ? 1 : 0)

const recordOf = (row: Row): Effect.Effect<ToldRecord, LedgerUnavailable> => {
  const record: ToldRecord = {
    agency: integer(row, "agency"),
    how: text(row, "how") === "confirmed" ? "confirmed" : "sent",
    at: text(row, "told_at"),
    address: text(row, "address"),
    port: integer(row, "port"),
    served: flag(row, "served")
  }
  return integer(row, "checksum") === checksumOf(record) ? Effect.succeed(record) : damaged(
    "told",
    `whether agency ${record.agency} was told its winners is not what was stored`
  )
}

export const toldOf = (
  links: LinkPool,
  lottery: number,
  roster: ReadonlyMap<number, AgencyId>
) => {
  const read = (agencies: ReadonlyArray<bigint> | null) =>
    links.use("told", (connection) =>
      Effect.flatMap(
        connection.query(readTold, [BigInt(lottery), agencies]),
        ({ rows }) => Effect.forEach(rows, recordOf)
      ))

  const write = Effect.fnUntraced(function*(records: ReadonlyArray<ToldRecord>) {
    const known = new Map(
      (yield* read(records.map(({ agency }) => BigInt(agency)))).map((one) => [one.agency, one])
    )
    const after = records.map((record) => laterTold(known.get(record.agency), record))
    const { rows } = yield* links.use("told", (connection) =>
      connection.query(writeTold, [
        BigInt(lottery),
        after.map(({ agency }) => BigInt(agency)),
        after.map(({ how }) => how),
        after.map(({ at }) => at),
        after.map(({ address }) => address),
        after.map(({ port }) => port),
        after.map(({ served }) => served),
        after.map((one) => BigInt(checksumOf(one))),
        after.map(({ agency }) => {
          const before = known.get(agency)
          return before === undefined ? noRow : BigInt(checksumOf(before))
        })
      ]))
    const written = new Set(rows.map((row) => integer(row, "agency")))
    return records.filter(({ agency }) => !written.has(agency))
  })

  const told = Effect.fnUntraced(function*(records: ReadonlyArray<ToldRecord>) {
    let left = records
    for (let tries = 0; left.length > 0; tries++) {
      if (tries === triesMax) return yield* Effect.die(new Error("told: rows never stay the same"))
      left = yield* write(left)
    }
  })

  const toldRecords = Effect.map(
    read(null),
    (records): ReadonlyMap<AgencyId, ToldRecord> =>
      new Map(records.flatMap((record) => {
        const agency = roster.get(record.agency)
        return agency === undefined ? [] : [[agency, record]]
      }))
  )

  return { told, toldRecords }
}
