/** Reads columns of SQLite rows. A value of another type than the column's is damage. */
import type { SQLOutputValue } from "node:sqlite"
import { damaged } from "./LedgerProblem.ts"

export type Row = Readonly<Record<string, SQLOutputValue>>

export const integer = (row: Row | undefined, column: string): number => {
  const value = row?.[column]
  if (typeof value !== "number") throw damaged(`column ${column} holds no integer`)
  return value
}

export const text = (row: Row | undefined, column: string): string => {
  const value = row?.[column]
  if (typeof value !== "string") throw damaged(`column ${column} holds no text`)
  return value
}

export const blob = (row: Row | undefined, column: string): Uint8Array<ArrayBuffer> => {
  const value = row?.[column]
  if (!(value instanceof Uint8Array)) throw damaged(`column ${column} holds no bytes`)
  return value
}
