/** The tables `draw` and `winner`: the draw, once it has been held. */
import type { DatabaseSync } from "node:sqlite"
import { rowChecksum } from "../RowChecksum.ts"
import { integer, text } from "./Columns.ts"
import { refuseDamage } from "./LedgerProblem.ts"

export interface DrawRecord {
  readonly winningNumber: number
  /** The winners' documents by agency, in the order of the agency's bets. */
  readonly winners: ReadonlyMap<number, ReadonlyArray<string>>
}

/** The draw, if it was held; `onDamage` is called where it isn't what was stored. */
export const readDraw = (
  db: DatabaseSync,
  onDamage: (problem: string) => void = refuseDamage
): DrawRecord | undefined => {
  const row = db.prepare("SELECT winning_number, winners, checksum FROM draw").get()
  if (row === undefined) return undefined
  const winningNumber = integer(row, "winning_number")
  const count = integer(row, "winners")
  if (row["checksum"] !== rowChecksum(winningNumber, count)) {
    onDamage("the draw is not the one that was held")
  }
  const winners = new Map<number, Array<string>>()
  let found = 0
  const rows = db.prepare(
    "SELECT agency, position, document, checksum FROM winner ORDER BY agency, position"
  )
  for (const winner of rows.iterate()) {
    const agency = integer(winner, "agency")
    const position = integer(winner, "position")
    const document = text(winner, "document")
    const documents = winners.get(agency) ?? []
    documents.push(document)
    winners.set(agency, documents)
    found++
    if (
      position !== documents.length
      || winner["checksum"] !== rowChecksum(agency, position, document)
    ) onDamage(`winner ${position} of agency ${agency} is not what was stored`)
  }
  if (found !== count) onDamage(`${count} winners were stored, and ${found} are there`)
  return { winningNumber, winners }
}

/** When the draw was held: UTC, ISO 8601. */
export const readHeldAt = (db: DatabaseSync): string | undefined => {
  const row = db.prepare("SELECT held_at FROM draw").get()
  return row && text(row, "held_at")
}

/** Within the draw's transaction. */
export const writeDraw = (db: DatabaseSync, { winners, winningNumber }: DrawRecord): void => {
  const insert = db.prepare(
    "INSERT INTO winner (agency, position, document, checksum) VALUES (?, ?, ?, ?)"
  )
  let count = 0
  for (const [agency, documents] of winners) {
    for (const [index, document] of documents.entries()) {
      const position = index + 1
      insert.run(agency, position, document, rowChecksum(agency, position, document))
      count++
    }
  }
  db.prepare("INSERT INTO draw (id, winning_number, winners, checksum) VALUES (1, ?, ?, ?)")
    .run(winningNumber, count, rowChecksum(winningNumber, count))
}
