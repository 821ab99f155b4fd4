/** The table `told`: the agencies that were told their winners. services/draw/Told.ts writes it. */
import type { DatabaseSync } from "node:sqlite"
import type { ToldRecord } from "../../../domain/Draw.ts"
import { laterTold } from "../../../domain/LaterTold.ts"
import { rowChecksum } from "../RowChecksum.ts"
import { integer, type Row, text } from "./Columns.ts"
import { refuseDamage } from "./LedgerProblem.ts"

const checksumOf = ({ address, agency, at, how, port, served }: ToldRecord): number =>
  rowChecksum(agency, how, at, address, port, served ? 1 : 0)

const columns = "agency, how, told_at, address, port, served, checksum"

/** The agencies that were told; `onDamage` is called where a row isn't what was stored. */
export const readTold = (
  db: DatabaseSync,
  onDamage: (problem: string) => void = refuseDamage
): ReadonlyMap<number, ToldRecord> => {
  const told = new Map<number, ToldRecord>()
  for (const row of db.prepare(`SELECT ${columns} FROM told`).iterate()) {
    const record = toldOf(row, onDamage)
    told.set(record.agency, record)
  }
  return told
}

const toldOf = (row: Row, onDamage: (problem: string) => void): ToldRecord => {
  const [agency, port] = [integer(row, "agency"), integer(row, "port")]
  const [at, address] = [text(row, "told_at"), text(row, "address")]
  const how = text(row, "how") === "confirmed" ? "confirmed" : "sent"
  const served = integer(row, "served") === 1
  const record = { agency, how, at, address, port, served } as const
  if (row["checksum"] !== checksumOf(record)) {
    onDamage(`whether agency ${agency} was told its winners is not what was stored`)
  }
  return record
}

/** Writing a record once more changes nothing. A damaged one, of which nothing is sure, is overwritten. */
export const writeTold = (db: DatabaseSync, records: ReadonlyArray<ToldRecord>): void => {
  const find = db.prepare(`SELECT ${columns} FROM told WHERE agency = ?`)
  const write = db.prepare(`INSERT OR REPLACE INTO told (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?)`)
  for (const record of records) {
    const row = find.get(record.agency)
    let isDamaged = false
    const known = row && toldOf(row, () => {
      isDamaged = true
    })
    const told = laterTold(isDamaged ? undefined : known, record)
    const { address, agency, at, how, port, served } = told
    write.run(agency, how, at, address, port, served ? 1 : 0, checksumOf(told))
  }
}
