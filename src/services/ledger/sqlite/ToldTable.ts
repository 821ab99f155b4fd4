/** The table `told`: the agencies that were told their winners. services/draw/Told.ts writes it. */
import type { DatabaseSync } from "node:sqlite"
import type { ToldRecord } from "../../../domain/Draw.ts"
import { rowChecksum } from "./Checksum.ts"
import { integer, text } from "./Columns.ts"
import { refuseDamage } from "./LedgerProblem.ts"

const checksumOf = ({ address, agency, at, how, port }: ToldRecord): number =>
  rowChecksum(agency, how, at, address, port)

/** The agencies that were told; `onDamage` is called where a row isn't what was stored. */
export const readTold = (
  db: DatabaseSync,
  onDamage: (problem: string) => void = refuseDamage
): ReadonlyMap<number, ToldRecord> => {
  const told = new Map<number, ToldRecord>()
  const rows = db.prepare("SELECT agency, how, told_at, address, port, checksum FROM told")
  for (const row of rows.iterate()) {
    const [agency, port] = [integer(row, "agency"), integer(row, "port")]
    const [at, address] = [text(row, "told_at"), text(row, "address")]
    const how = text(row, "how") === "confirmed" ? "confirmed" : "sent"
    const record = { agency, how, at, address, port } as const
    if (row["checksum"] !== checksumOf(record)) {
      onDamage(`whether agency ${agency} was told its winners is not what was stored`)
    }
    told.set(agency, record)
  }
  return told
}

/** A confirmed row stays as it is, so writing it once more changes nothing. */
export const writeTold = (db: DatabaseSync, records: ReadonlyArray<ToldRecord>): void => {
  const write = db.prepare(`
    INSERT INTO told (agency, how, told_at, address, port, checksum) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (agency) DO UPDATE SET how = excluded.how, told_at = excluded.told_at,
      address = excluded.address, port = excluded.port, checksum = excluded.checksum
    WHERE told.how = 'sent'
  `)
  for (const record of records) {
    const { address, agency, at, how, port } = record
    write.run(agency, how, at, address, port, checksumOf(record))
  }
}
